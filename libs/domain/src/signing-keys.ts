import { type Decider, type Instant, secondsAfter } from './decider.js';
import { DomainError } from './domain-error.js';

/** Stream `signingKeys`: the ring of keys that tokens are signed with, the same on every node. */
export const signingKeysStream = 'signingKeys';

export type SigningAlgorithm = 'EdDSA' | 'RS256';

/** How long a verifier may keep a JWKS: its max-age. */
export const JWKS_MAX_AGE_SECONDS = 300;
/** A published key signs only when every cached JWKS has it. */
export const PUBLISHED_BEFORE_SIGNING_SECONDS = 2 * JWKS_MAX_AGE_SECONDS;

export interface MasterKeyCheckRecorded {
  type: 'MasterKeyCheckRecorded';
  /** `check` is a keyed value that only the holder of the master key can derive; it says nothing about the key. */
  data: { masterKeyId: string; check: string; recordedAt: Instant };
}
export interface SigningKeyPublished {
  type: 'SigningKeyPublished';
  data: {
    kid: string;
    alg: SigningAlgorithm;
    publicJwk: Readonly<Record<string, unknown>>;
    masterKeyId: string;
    /** The private key, AES-256-GCM under a key derived from the master key: a sensitive field. */
    wrappedKey: string;
    publishedAt: Instant;
  };
}
export interface SigningKeyActivated {
  type: 'SigningKeyActivated';
  data: { kid: string; activatedAt: Instant };
}
export interface SigningKeyRetired {
  type: 'SigningKeyRetired';
  data: { kid: string; retiredAt: Instant };
}
export interface SigningKeyCompromised {
  type: 'SigningKeyCompromised';
  data: { kid: string; compromisedAt: Instant };
}
export interface SigningKeyRewrapped {
  type: 'SigningKeyRewrapped';
  data: { kid: string; masterKeyId: string; wrappedKey: string };
}
export type SigningKeysEvent =
  | MasterKeyCheckRecorded
  | SigningKeyPublished
  | SigningKeyActivated
  | SigningKeyRetired
  | SigningKeyCompromised
  | SigningKeyRewrapped;

export interface SigningKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly publicJwk: Readonly<Record<string, unknown>>;
  readonly masterKeyId: string;
  readonly wrappedKey: string;
  readonly status: 'PUBLISHED' | 'SIGNING' | 'RETIRED' | 'COMPROMISED';
  readonly publishedAt: Instant;
  readonly activatedAt?: Instant;
  readonly retiredAt?: Instant;
  readonly compromisedAt?: Instant;
}
export interface SigningKeysState {
  readonly masterKeyChecks: readonly { readonly masterKeyId: string; readonly check: string }[];
  /** In the order of their publication. */
  readonly keys: readonly SigningKey[];
}

/** The key that signs new tokens, if there is one. */
export const signingKey = (state: SigningKeysState): SigningKey | undefined =>
  state.keys.find(({ status }) => status === 'SIGNING');

/** When a published key may take over from the one that signs. */
export const signsFrom = ({ publishedAt }: Pick<SigningKey, 'publishedAt'>): Instant =>
  secondsAfter(publishedAt, PUBLISHED_BEFORE_SIGNING_SECONDS);

/** The published key that signs next: the one that verifiers have had for the longest. */
export const nextSigningKey = (state: SigningKeysState): SigningKey | undefined =>
  state.keys.find(({ status }) => status === 'PUBLISHED');

export const compromisedKids = (state: SigningKeysState): string[] =>
  state.keys.filter(({ status }) => status === 'COMPROMISED').map(({ kid }) => kid);

const evolve = (state: SigningKeysState, event: SigningKeysEvent): SigningKeysState => {
  switch (event.type) {
    case 'MasterKeyCheckRecorded': {
      const { masterKeyId, check } = event.data;
      return { ...state, masterKeyChecks: [...state.masterKeyChecks, { masterKeyId, check }] };
    }
    case 'SigningKeyPublished':
      return { ...state, keys: [...state.keys, { ...event.data, status: 'PUBLISHED' }] };
    case 'SigningKeyActivated':
      return changed(state, event.data.kid, { status: 'SIGNING', activatedAt: event.data.activatedAt });
    case 'SigningKeyRetired':
      return changed(state, event.data.kid, { status: 'RETIRED', retiredAt: event.data.retiredAt });
    case 'SigningKeyCompromised':
      return changed(state, event.data.kid, { status: 'COMPROMISED', compromisedAt: event.data.compromisedAt });
    case 'SigningKeyRewrapped': {
      const { kid, masterKeyId, wrappedKey } = event.data;
      return changed(state, kid, { masterKeyId, wrappedKey });
    }
  }
};

const changed = (state: SigningKeysState, kid: string, change: Partial<SigningKey>): SigningKeysState => {
  if (!state.keys.some((key) => key.kid === kid)) {
    throw new Error(`An event of signing key ${kid} before its publication`);
  }
  return { ...state, keys: state.keys.map((key) => (key.kid === kid ? { ...key, ...change } : key)) };
};

export type SigningKeysCommand =
  | { type: 'RecordMasterKeyCheck'; masterKeyId: string; check: string; at: Instant }
  | ({ type: 'PublishSigningKey'; at: Instant } & Omit<SigningKeyPublished['data'], 'publishedAt'>)
  | { type: 'ActivateSigningKey'; kid: string; at: Instant }
  | { type: 'CompromiseSigningKey'; kid: string; at: Instant }
  | { type: 'RewrapSigningKey'; kid: string; masterKeyId: string; wrappedKey: string; at: Instant };

const decide = (state: SigningKeysState, command: SigningKeysCommand): SigningKeysEvent[] => {
  switch (command.type) {
    case 'RecordMasterKeyCheck': {
      const { masterKeyId, check, at } = command;
      return state.masterKeyChecks.some((known) => known.masterKeyId === masterKeyId)
        ? []
        : [{ type: 'MasterKeyCheckRecorded', data: { masterKeyId, check, recordedAt: at } }];
    }
    case 'PublishSigningKey': {
      const { kid, alg, publicJwk, masterKeyId, wrappedKey, at } = command;
      if (state.keys.some((key) => key.kid === kid)) {
        throw new DomainError('signing_key_exists', 'This key was published already', 'kid');
      }
      return [{ type: 'SigningKeyPublished', data: { kid, alg, publicJwk, masterKeyId, wrappedKey, publishedAt: at } }];
    }
    case 'ActivateSigningKey':
      return activate(state, command.kid, command.at);
    case 'CompromiseSigningKey':
      return compromise(state, command.kid, command.at);
    case 'RewrapSigningKey': {
      const { kid, masterKeyId, wrappedKey } = command;
      return keyNamed(state, kid).masterKeyId === masterKeyId
        ? []
        : [{ type: 'SigningKeyRewrapped', data: { kid, masterKeyId, wrappedKey } }];
    }
  }
};

/**
 * The key before it retires in the same append, so that one key signs at every moment. Where none signs (the first
 * start, a compromise) the new one does so at once: a login that a stale JWKS can't verify beats no login at all.
 */
const activate = (state: SigningKeysState, kid: string, at: Instant): SigningKeysEvent[] => {
  const key = keyNamed(state, kid);
  if (key.status === 'SIGNING') return [];
  if (key.status !== 'PUBLISHED') {
    throw new DomainError('signing_key_not_published', `This key is ${key.status}; it can't sign again`, 'kid');
  }
  const current = signingKey(state);
  if (current && at < signsFrom(key)) {
    throw new DomainError('signing_key_too_young', 'Not every verifier can have seen this key yet', 'kid');
  }
  const activated: SigningKeysEvent = { type: 'SigningKeyActivated', data: { kid, activatedAt: at } };
  return current ? [{ type: 'SigningKeyRetired', data: { kid: current.kid, retiredAt: at } }, activated] : [activated];
};

/** A key that waits takes over in the same append, so that no login finds the ring without a signing key. */
const compromise = (state: SigningKeysState, kid: string, at: Instant): SigningKeysEvent[] => {
  const { status } = keyNamed(state, kid);
  if (status === 'COMPROMISED') return [];
  const compromised: SigningKeysEvent = { type: 'SigningKeyCompromised', data: { kid, compromisedAt: at } };
  const next = status === 'SIGNING' ? nextSigningKey(state) : undefined;
  return next
    ? [compromised, { type: 'SigningKeyActivated', data: { kid: next.kid, activatedAt: at } }]
    : [compromised];
};

const keyNamed = (state: SigningKeysState, kid: string): SigningKey => {
  const key = state.keys.find((candidate) => candidate.kid === kid);
  if (!key) throw new DomainError('signing_key_not_found', 'No such signing key', 'kid');
  return key;
};

export const signingKeys: Decider<SigningKeysState, SigningKeysCommand, SigningKeysEvent> = {
  initial: { masterKeyChecks: [], keys: [] },
  evolve,
  decide,
};
