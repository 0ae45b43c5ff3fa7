import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint } from 'jose';
import { type MasterKeys, unwrapKey, wrapKey } from '#credentials';
import {
  Failure,
  type Instant,
  JWKS_MAX_AGE_SECONDS,
  type NewSigningKey,
  nextSigningKey,
  secondsAfter,
  type SigningAlgorithm,
  type SigningKey,
  signingKey,
  type SigningKeysState,
  signsFrom,
} from '#domain';
import { internalContext, type SigningKeys } from '#event-log';
import { type CommandContext, uuidV5 } from '#events';
import type { TokenSigner } from './jwt-signing.js';
import { STATIC_TOKEN_SECONDS } from './static-token.js';

/**
 * The master keys of this process do not belong to this event log. The message names the environment variable to
 * correct.
 */
export class MasterKeyMismatch extends Error {
  override readonly name = 'MasterKeyMismatch';
}

/**
 * No key can sign: there is no signing key, or the requested key is unknown, has never been active, or is compromised.
 */
export class SigningKeyUnusable extends Failure {
  override readonly name = 'SigningKeyUnusable';
  readonly kind = 'unavailable';
  readonly code = 'signing_key_unusable';
  readonly detail = 'The signing keys are changing; try again';
}

/** A set of public keys in the format of RFC 7517 §5. */
export interface JsonWebKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

export interface SigningKeyRingOptions {
  /** The algorithm of keys that are published from now on (`TOKEN_ALG`). Existing keys keep their algorithm. */
  readonly alg: SigningAlgorithm;
  readonly now?: () => Date;
}

/**
 * The key ring: all signing keys, from the event stream `signingKeys`. A private key is unwrapped (decrypted) when it
 * is first used, and is then kept in memory by its `kid`. A request calls `state()` once and passes the state to the
 * other methods, so that all results are based on the same state.
 */
export class SigningKeyRing {
  readonly #signers = new Map<string, TokenSigner>();
  readonly #verificationKeys = new Map<string, KeyObject>();
  readonly #alg: SigningAlgorithm;
  readonly #now: () => Date;

  constructor(
    private readonly keys: SigningKeys,
    private readonly masterKeys: MasterKeys,
    { alg, now = () => new Date() }: SigningKeyRingOptions,
  ) {
    this.#alg = alg;
    this.#now = now;
  }

  /**
   * Compares the master keys with the check value in the log, and makes sure that there is a signing key, as `advance`
   * does. If the log has no check value for the current master key yet, records one.
   *
   * Throws `MasterKeyMismatch`, `KeyUnwrapFailed` and `LogUnavailable`. The process must stop after any of these
   * errors.
   */
  async start(): Promise<void> {
    await this.checkMasterKeys();
    await this.advance();
    this.signer(await this.state());
  }

  /**
   * Makes the next key the signing key as soon as all verifiers of tokens have had time to fetch its public key. If
   * there is no signing key, the next key, or a new key, becomes the signing key at once. Several processes may call
   * `advance` at the same time, and all of them get the same signing key. Throws `LogUnavailable`, `RevisionConflict`.
   * Throws `DomainError` if an operator has just declared the next key compromised.
   */
  async advance(): Promise<void> {
    const state = await this.state();
    const next = nextSigningKey(state);
    if (!signingKey(state)) await this.activate(next ?? (await this.publishFirst(state)));
    else if (next && signsFrom(next) <= this.at()) await this.activate(next);
  }

  /** Reads the state of all signing keys strongly (the state is not outdated). Throws `LogUnavailable`. */
  async state(): Promise<SigningKeysState> {
    return (await this.keys.read()).state;
  }

  /** Returns the key that signs new tokens. Throws `SigningKeyUnusable`. */
  signer(state: SigningKeysState): TokenSigner {
    const key = signingKey(state);
    if (!key) throw new SigningKeyUnusable('No signing key is active');
    return this.unwrapped(key);
  }

  /**
   * Returns the key that signed a static token, so that the same token can be signed again. The key may be retired.
   * Throws `SigningKeyUnusable`.
   */
  signerOf(state: SigningKeysState, kid: string): TokenSigner {
    const signer = this.usableSigner(state, kid);
    if (signer) return signer;
    const key = state.keys.find((candidate) => candidate.kid === kid);
    throw new SigningKeyUnusable(`Signing key ${kid} is ${key?.status ?? 'unknown'}`);
  }

  /** Does the same as `signerOf`, but returns `undefined` for a key that can't sign. */
  usableSigner(state: SigningKeysState, kid: string): TokenSigner | undefined {
    const key = state.keys.find((candidate) => candidate.kid === kid);
    return key?.status === 'SIGNING' || key?.status === 'RETIRED' ? this.unwrapped(key) : undefined;
  }

  /**
   * Returns the public key that verifies tokens with this `kid`. Returns `undefined` for an unknown or compromised key.
   */
  verificationKey(state: SigningKeysState, kid: string): KeyObject | undefined {
    const key = state.keys.find((candidate) => candidate.kid === kid);
    if (!key || key.status === 'COMPROMISED') return undefined;
    return remembered(this.#verificationKeys, kid, () => createPublicKey({ key: key.publicJwk, format: 'jwk' }));
  }

  /**
   * Adds a new key to the ring. The key does not sign before the command `ActivateSigningKey`. Throws `LogUnavailable`.
   */
  async publish(context: CommandContext): Promise<SigningKey> {
    const newKey = async () => ({
      type: 'PublishSigningKey' as const,
      ...(await generateSigningKey(this.#alg, this.masterKeys)),
      at: this.at(),
    });
    const { state } = await this.keys.execute(undefined, newKey, { context });
    const key = state.keys.at(-1);
    if (!key) throw new Error('A signing key was published, and the ring is empty');
    return key;
  }

  /**
   * The check is part of the command function. If the append conflicts with another process, the command function runs
   * again, and thus checks the new state.
   */
  private async checkMasterKeys(): Promise<void> {
    const { masterKeys } = this;
    await this.keys.execute(
      undefined,
      (state) => {
        requireFittingMasterKeys(state, masterKeys);
        const { currentId: masterKeyId } = masterKeys;
        return { type: 'RecordMasterKeyCheck', masterKeyId, check: masterKeys.checkValue(), at: this.at() };
      },
      { context: internalContext({ via: 'start', commandHash: commandHashOf('record-master-key-check') }) },
    );
  }

  /**
   * Processes that see the same keys send a command with the same id. Only the first of these commands publishes a key.
   */
  private publishFirst({ keys }: SigningKeysState): Promise<SigningKey> {
    return this.publish(derivedContext(`publish-signing-key/${keys.length}`));
  }

  private async activate({ kid }: SigningKey): Promise<void> {
    const command = { type: 'ActivateSigningKey' as const, kid, at: this.at() };
    await this.keys.execute(undefined, command, { context: derivedContext(`activate-signing-key/${kid}`) });
  }

  private unwrapped(key: SigningKey): TokenSigner {
    const { kid, alg } = key;
    return remembered(this.#signers, kid, () => {
      const der = unwrapKey(key, kid, this.masterKeys);
      return { kid, alg, privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) };
    });
  }

  private at(): Instant {
    return this.#now().toISOString();
  }
}

/** The public keys that verify all tokens that can be valid at `at`. Includes the keys that will sign next. */
export const jwksOf = (state: SigningKeysState, at: Instant): JsonWebKeySet => ({
  keys: state.keys
    .filter(({ status, retiredAt }) => status !== 'COMPROMISED' && (!retiredAt || at < lastTokenEnd(retiredAt)))
    .map(({ publicJwk, kid, alg }) => ({ ...publicJwk, kid, alg, use: 'sig' })),
});

/**
 * When the last token of a retired key expires, plus a margin. The margin is for a login that read the key ring before
 * the retirement and signs shortly after the retirement.
 */
export const lastTokenEnd = (retiredAt: Instant): Instant =>
  secondsAfter(retiredAt, STATIC_TOKEN_SECONDS + JWKS_MAX_AGE_SECONDS);

/**
 * Throws `MasterKeyMismatch` if these master keys don't match the check values in the log, or if the master key that
 * unwraps (decrypts) one of the signing keys is missing.
 */
export const requireFittingMasterKeys = (state: SigningKeysState, masterKeys: MasterKeys): void => {
  const { masterKeyChecks, keys, logKeys } = state;
  const ids = new Set(masterKeys.ids);
  const recorded = masterKeyChecks.filter(({ masterKeyId }) => ids.has(masterKeyId));
  const fits = recorded.every(({ masterKeyId, check }) => check === masterKeys.checkValue(masterKeyId));
  if (!fits || (recorded.length === 0 && masterKeyChecks.length > 0)) {
    const known = masterKeyChecks.map(({ masterKeyId }) => masterKeyId).join(', ');
    throw new MasterKeyMismatch(`MASTER_KEY is not the key that this event log was begun with (ids: ${known})`);
  }
  const needed = [...keys, ...logKeys].filter(({ compromisedAt }) => compromisedAt === undefined);
  const missing = needed.find(({ masterKeyId }) => !ids.has(masterKeyId));
  if (missing) {
    throw new MasterKeyMismatch(
      `Signing key ${missing.kid} needs master key ${missing.masterKeyId}: add it to MASTER_KEY_PREVIOUS`,
    );
  }
};

const generate = promisify(generateKeyPair);

const generateSigningKey = async (alg: SigningAlgorithm, masterKeys: MasterKeys): Promise<NewSigningKey> => {
  const pair = alg === 'EdDSA' ? await generate('ed25519') : await generate('rsa', { modulusLength: 2048 });
  const publicJwk = pair.publicKey.export({ format: 'jwk' });
  const kid = await calculateJwkThumbprint(publicJwk);
  // We generate another key if the `kid` begins with `-`, since a command line would read such a `kid` as an option.
  if (kid.startsWith('-')) return generateSigningKey(alg, masterKeys);
  return { kid, alg, publicJwk, ...wrapKey(pair.privateKey.export({ format: 'der', type: 'pkcs8' }), kid, masterKeys) };
};

const COMMAND_NAMESPACE = '6d4d2c3e-58a1-4f0b-9c53-2f6b1f0f7a10';

/**
 * Returns a context whose ids are derived from the command. All processes thus send the same command with the same ids.
 */
const derivedContext = (command: string): CommandContext =>
  internalContext({
    via: 'start',
    commandId: uuidV5(command, COMMAND_NAMESPACE),
    commandHash: commandHashOf(command),
  });

const commandHashOf = (command: string): string => createHash('sha256').update(command).digest('hex');

const remembered = <Value>(memory: Map<string, Value>, kid: string, make: () => Value): Value => {
  const known = memory.get(kid);
  if (known !== undefined) return known;
  const made = make();
  memory.set(kid, made);
  return made;
};
