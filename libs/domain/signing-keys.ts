import type { Aggregate } from './aggregate.js';
import { DomainError } from './domain-error.js';
import { fastestClock, type Instant, secondsAfter } from './instant.js';

/**
 * Stream `signingKeys`: the ring of keys that sign tokens, and the keys of the tree over the log, which sign no token. All
 * nodes share them.
 */
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

/** What a log key signs: `LOG` the heads of the tree over the log, `TIME` the times at which they were signed. */
export const LOG_KEY_PURPOSES = ['LOG', 'TIME'] as const;
export type LogKeyPurpose = (typeof LOG_KEY_PURPOSES)[number];

/**
 * How long a replaced log key signs beside its successor, in seconds: 90 days. Verifiers that were given the old key thus
 * have time to be given the new one.
 */
export const REPLACED_LOG_KEY_SIGNS_SECONDS = 90 * 86_400;

/** An Ed25519 key of the tree over the log, at the moment of its publication. */
export interface NewLogKey {
  readonly kid: string;
  readonly purpose: LogKeyPurpose;
  /** The 32 bytes of the public key, in base64. */
  readonly publicKey: string;
  readonly masterKeyId: string;
  /** As in `NewSigningKey`. This is a sensitive field. */
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
  | { type: 'SigningKeyRewrapped'; data: { kid: string; masterKeyId: string; wrappedKey: string } }
  | { type: 'LogKeyPublished'; data: NewLogKey & { readonly publishedAt: Instant } };

export interface LogKey extends NewLogKey {
  readonly publishedAt: Instant;
  readonly compromisedAt?: Instant;
}

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
  /** The keys of the tree over the log, of both purposes. Ordered by publication, oldest first. */
  readonly logKeys: readonly LogKey[];
}

/** Returns the last published key of the purpose, also if it was compromised. */
export const newestLogKey = ({ logKeys }: Pick<SigningKeysState, 'logKeys'>, purpose: LogKeyPurpose) =>
  logKeys.findLast((key) => key.purpose === purpose);

/**
 * Returns the keys of the purpose that sign at `at`, the newest first: the last published one, and those that were
 * replaced less than `REPLACED_LOG_KEY_SIGNS_SECONDS` before.
 */
export function signingLogKeys(
  { logKeys }: Pick<SigningKeysState, 'logKeys'>,
  purpose: LogKeyPurpose,
  at: Instant,
): readonly LogKey[] {
  const published = logKeys.filter((key) => key.purpose === purpose);
  return published
    .filter((key, index) => {
      const successor = published[index + 1];
      const replaced = successor && secondsAfter(successor.publishedAt, REPLACED_LOG_KEY_SIGNS_SECONDS) <= at;
      return key.compromisedAt === undefined && !replaced;
    })
    .reverse();
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

const initial: SigningKeysState = { masterKeyChecks: [], keys: [], logKeys: [] };

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
    case 'SigningKeyCompromised': {
      const { kid, compromisedAt } = event.data;
      if (isLogKey(state, kid)) return changedLogKey(state, kid, { compromisedAt });
      return changed(state, kid, { status: 'COMPROMISED', compromisedAt });
    }
    case 'SigningKeyRewrapped': {
      const { kid, masterKeyId, wrappedKey } = event.data;
      if (isLogKey(state, kid)) return changedLogKey(state, kid, { masterKeyId, wrappedKey });
      return changed(state, kid, { masterKeyId, wrappedKey });
    }
    case 'LogKeyPublished':
      return { ...state, logKeys: [...state.logKeys, event.data] };
  }
};

const isLogKey = ({ logKeys }: SigningKeysState, kid: string): boolean => logKeys.some((key) => key.kid === kid);

const changedLogKey = (state: SigningKeysState, kid: string, change: Partial<LogKey>): SigningKeysState => ({
  ...state,
  logKeys: state.logKeys.map((key) => (key.kid === kid ? { ...key, ...change } : key)),
});

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
  | { type: 'RewrapSigningKey'; kid: string; masterKeyId: string; wrappedKey: string; at: Instant }
  /** `replaces`: the newest key of the same purpose, absent if there is none. */
  | ({ type: 'PublishLogKey'; replaces?: string; at: Instant } & NewLogKey);

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
    case 'PublishLogKey': {
      const { kid, purpose, publicKey, masterKeyId, wrappedKey, replaces, at } = command;
      // Another process has published a key meanwhile. One is enough.
      if (newestLogKey(state, purpose)?.kid !== replaces) return [];
      return [{ type: 'LogKeyPublished', data: { kid, purpose, publicKey, masterKeyId, wrappedKey, publishedAt: at } }];
    }
    case 'RewrapSigningKey': {
      const { kid, masterKeyId, wrappedKey } = command;
      const key = state.logKeys.find((each) => each.kid === kid) ?? keyNamed(state, kid);
      return key.masterKeyId === masterKeyId
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
  const compromised: SigningKeysEvent = { type: 'SigningKeyCompromised', data: { kid, compromisedAt: at } };
  const logKey = state.logKeys.find((each) => each.kid === kid);
  if (logKey) return logKey.compromisedAt === undefined ? [compromised] : [];
  const { status } = keyNamed(state, kid);
  if (status === 'COMPROMISED') return [];
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
  stateVersion: 2,
  decide,
};
