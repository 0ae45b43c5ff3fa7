import type { Aggregate } from './aggregate.js';
import { DomainError } from './domain-error.js';
import { fastestClock, type Instant, secondsAfter } from './instant.js';

/** Stream `signingKeys`: the ring of keys that sign tokens. All nodes share this ring. */
const stream = () => 'signingKeys';

export type SigningAlgorithm = 'EdDSA' | 'RS256';

/** How long a verifier of tokens may cache the JWKS (our public keys), in seconds: the `max-age` of the JWKS. */
export const JWKS_MAX_AGE_SECONDS = 300;
/**
 * How long, in seconds, a key is published before the key signs. After that time, every cached JWKS (our public keys)
 * contains the key.
 */
export const PUBLISHED_BEFORE_SIGNING_SECONDS = 2 * JWKS_MAX_AGE_SECONDS;

/** A signing key at the moment of its publication. */
export interface NewSigningKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly publicJwk: Readonly<Record<string, unknown>>;
  readonly masterKeyId: string;
  /**
   * The private key, encrypted with AES-256-GCM under a key that is derived from the master key. This is a sensitive
   * field.
   */
  readonly wrappedKey: string;
}
export type SigningKeysEvent =
  | {
      type: 'MasterKeyCheckRecorded';
      /**
       * `check` is a value that only the holder of the master key can compute. `check` reveals nothing of the master
       * key.
       */
      data: { masterKeyId: string; check: string; recordedAt: Instant };
    }
  | { type: 'SigningKeyPublished'; data: NewSigningKey & { readonly publishedAt: Instant } }
  | { type: 'SigningKeyActivated'; data: { kid: string; activatedAt: Instant } }
  | { type: 'SigningKeyRetired'; data: { kid: string; retiredAt: Instant } }
  | { type: 'SigningKeyCompromised'; data: { kid: string; compromisedAt: Instant } }
  | { type: 'SigningKeyRewrapped'; data: { kid: string; masterKeyId: string; wrappedKey: string } };

export interface SigningKey extends NewSigningKey {
  readonly status: 'PUBLISHED' | 'SIGNING' | 'RETIRED' | 'COMPROMISED';
  readonly publishedAt: Instant;
  readonly activatedAt?: Instant;
  readonly retiredAt?: Instant;
  readonly compromisedAt?: Instant;
}
export interface SigningKeysState {
  readonly masterKeyChecks: readonly { readonly masterKeyId: string; readonly check: string }[];
  /** Ordered by publication, oldest first. */
  readonly keys: readonly SigningKey[];
}

/** Returns the key that signs new tokens, or `undefined` if no key signs. */
export const signingKey = (state: SigningKeysState): SigningKey | undefined =>
  state.keys.find(({ status }) => status === 'SIGNING');

/** From this moment on, a published key may replace the key that signs now. */
export const signsFrom = ({ publishedAt }: Pick<SigningKey, 'publishedAt'>): Instant =>
  secondsAfter(publishedAt, PUBLISHED_BEFORE_SIGNING_SECONDS);

/**
 * Returns the key that will sign next: the key with status `PUBLISHED` that has the earliest time of publication. A key
 * that a wrong clock dated too late thus does not hold up a key that was published after it.
 */
export const nextSigningKey = (state: SigningKeysState): SigningKey | undefined =>
  state.keys
    .filter(({ status }) => status === 'PUBLISHED')
    .reduce<SigningKey | undefined>(
      (next, key) => (next && next.publishedAt <= key.publishedAt ? next : key),
      undefined,
    );

/** Whether a wrong clock dated the key's publication too late. Such a key will sign later than it should. */
export const isPublishedTooLate = ({ publishedAt }: Pick<SigningKey, 'publishedAt'>, at: Instant): boolean =>
  fastestClock(at) < publishedAt;

export const compromisedKids = (state: SigningKeysState): string[] =>
  state.keys.filter(({ status }) => status === 'COMPROMISED').map(({ kid }) => kid);

const initial: SigningKeysState = { masterKeyChecks: [], keys: [] };

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
  | ({ type: 'PublishSigningKey'; at: Instant } & NewSigningKey)
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
        throw new DomainError('conflict', 'signing_key_exists', 'This key was published already', 'kid');
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
 * Makes a published key sign. The current signing key retires in the same append, so that exactly one key signs at
 * every moment. If no key signs (at the first start, or after a compromise), the new key signs at once. Services that
 * have cached our public keys then refuse the new tokens for a while, but no logins at all would be worse.
 */
const activate = (state: SigningKeysState, kid: string, at: Instant): SigningKeysEvent[] => {
  const key = keyNamed(state, kid);
  if (key.status === 'SIGNING') return [];
  if (key.status !== 'PUBLISHED') {
    throw new DomainError(
      'conflict',
      'signing_key_not_published',
      `This key is ${key.status}; it can't sign again`,
      'kid',
    );
  }
  const current = signingKey(state);
  if (current && at < signsFrom(key)) {
    throw new DomainError('conflict', 'signing_key_too_young', 'Not every verifier can have seen this key yet', 'kid');
  }
  const activated: SigningKeysEvent = { type: 'SigningKeyActivated', data: { kid, activatedAt: at } };
  return current ? [retired(current, at), activated] : [activated];
};

/**
 * The key's public part is published for a year after its retirement. So the retirement is never dated before the key's
 * activation, even if the clock is behind.
 */
const retired = ({ kid, activatedAt }: SigningKey, at: Instant): SigningKeysEvent => ({
  type: 'SigningKeyRetired',
  data: { kid, retiredAt: activatedAt !== undefined && at < activatedAt ? activatedAt : at },
});

/**
 * Marks a key as compromised. If the key signs now, the next published key becomes the signing key in the same append,
 * so that a login always finds a signing key.
 */
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
  if (!key) throw new DomainError('not_found', 'signing_key_not_found', 'No such signing key', 'kid');
  return key;
};

export const signingKeys: Aggregate<void, SigningKeysState, SigningKeysCommand, SigningKeysEvent> = {
  stream,
  initial,
  evolve,
  stateVersion: 1,
  decide,
};
