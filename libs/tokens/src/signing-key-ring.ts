import {
  type KeyObject,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  randomUUID,
} from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint } from 'jose';

import { type MasterKeys, unwrapKey, wrapKey } from '#credentials';
import {
  JWKS_MAX_AGE_SECONDS,
  type Instant,
  type SigningAlgorithm,
  type SigningKey,
  type SigningKeyPublished,
  type SigningKeysState,
  nextSigningKey,
  secondsAfter,
  signingKey,
  signsFrom,
} from '#domain';
import type { SigningKeys } from '#event-log';
import { type CommandContext, uuidV5 } from '#events';
import type { TokenSigner } from './jwt-signing.js';
import { STATIC_TOKEN_SECONDS } from './static-token.js';

/** The master keys of this process are not those of the log; the message names the variable to put right. */
export class MasterKeyMismatch extends Error {
  override readonly name = 'MasterKeyMismatch';
}

/** No key signs now, or the one that was asked for is not in the ring, has not signed yet, or is compromised. */
export class SigningKeyUnusable extends Error {
  override readonly name = 'SigningKeyUnusable';
}

/** RFC 7517 §5. */
export interface JsonWebKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

export interface SigningKeyRingOptions {
  /** Of the keys that are published from now on (`TOKEN_ALG`); each key keeps its own. */
  readonly alg: SigningAlgorithm;
  readonly now?: () => Date;
}

/**
 * The signing keys of stream `signingKeys`, ready for use: private keys are unwrapped when first needed and kept in
 * memory by kid. A request reads `state()` once and asks the rest about that state, so that all its answers agree.
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
   * Checks the master keys against the log's check value, which the very first start records, and sees that a key
   * signs, as `advance` does.
   *
   * Throws `MasterKeyMismatch`, `KeyUnwrapFailed` and `LogUnavailable`; the process must not go on after any of them.
   */
  async start(): Promise<void> {
    await this.checkMasterKeys();
    await this.advance();
    this.signer(await this.state());
  }

  /**
   * What time asks for: a published key signs once every verifier can have it, and where none signs (the first start,
   * a compromise without a next one) one does at once. Processes may do it at the same time: they end with the same key.
   * Throws `LogUnavailable`, `RevisionConflict`, and `DomainError` where an operator has just compromised the next key.
   */
  async advance(): Promise<void> {
    const state = await this.state();
    const next = nextSigningKey(state);
    if (!signingKey(state)) await this.activate(next ?? (await this.publishFirst(state)));
    else if (next && signsFrom(next) <= this.at()) await this.activate(next);
  }

  /** A strong read. Throws `LogUnavailable`. */
  async state(): Promise<SigningKeysState> {
    return (await this.keys.read()).state;
  }

  /** The key that signs new tokens. Throws `SigningKeyUnusable`. */
  signer(state: SigningKeysState): TokenSigner {
    const key = signingKey(state);
    if (!key) throw new SigningKeyUnusable('No signing key is active');
    return this.unwrapped(key);
  }

  /** The key that once signed a static token, to sign it again; it may be retired. Throws `SigningKeyUnusable`. */
  signerOf(state: SigningKeysState, kid: string): TokenSigner {
    const key = state.keys.find((candidate) => candidate.kid === kid);
    if (key?.status !== 'SIGNING' && key?.status !== 'RETIRED') {
      throw new SigningKeyUnusable(`Signing key ${kid} is ${key?.status ?? 'unknown'}`);
    }
    return this.unwrapped(key);
  }

  /** The public key to verify a token of ours with; `undefined` for an unknown kid and a compromised key. */
  verificationKey(state: SigningKeysState, kid: string): KeyObject | undefined {
    const key = state.keys.find((candidate) => candidate.kid === kid);
    if (!key || key.status === 'COMPROMISED') return undefined;
    return remembered(this.#verificationKeys, kid, () => createPublicKey({ key: key.publicJwk, format: 'jwk' }));
  }

  /** Adds a new key to the ring; it signs once `ActivateSigningKey` says so. Throws `LogUnavailable`. */
  async publish(context: CommandContext): Promise<SigningKey> {
    const newKey = async () => ({
      type: 'PublishSigningKey' as const,
      ...(await generateSigningKey(this.#alg, this.masterKeys)),
      at: this.at(),
    });
    const { state } = await this.keys.execute(undefined, newKey, context);
    const key = state.keys.at(-1);
    if (!key) throw new Error('A signing key was published, and the ring is empty');
    return key;
  }

  /** In the retry of a conflict the state is another, so the check sits between reading and deciding. */
  private async checkMasterKeys(): Promise<void> {
    const { masterKeys } = this;
    await this.keys.execute(
      undefined,
      (state) => {
        requireFittingMasterKeys(state, masterKeys);
        const { currentId: masterKeyId } = masterKeys;
        return { type: 'RecordMasterKeyCheck', masterKeyId, check: masterKeys.checkValue(), at: this.at() };
      },
      startContext(randomUUID(), 'record-master-key-check'),
    );
  }

  /** Processes that find the same ring send the same commands, so that all but the first repeat it. */
  private publishFirst({ keys }: SigningKeysState): Promise<SigningKey> {
    return this.publish(derivedContext(`publish-signing-key/${keys.length}`));
  }

  private async activate({ kid }: SigningKey): Promise<void> {
    const command = { type: 'ActivateSigningKey' as const, kid, at: this.at() };
    await this.keys.execute(undefined, command, derivedContext(`activate-signing-key/${kid}`));
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

/** The public keys of all tokens that may be good at `at`, and of the next ones. */
export const jwksOf = (state: SigningKeysState, at: Instant): JsonWebKeySet => ({
  keys: state.keys
    .filter(({ status, retiredAt }) => status !== 'COMPROMISED' && (!retiredAt || at < lastTokenEnd(retiredAt)))
    .map(({ publicJwk, kid, alg }) => ({ ...publicJwk, kid, alg, use: 'sig' })),
});

/** When the last token of a key that has retired ends: a login that had read the ring before may have signed after. */
export const lastTokenEnd = (retiredAt: Instant): Instant =>
  secondsAfter(retiredAt, STATIC_TOKEN_SECONDS + JWKS_MAX_AGE_SECONDS);

/** Whether these master keys are those that the log's key check values and signing keys need. Throws `MasterKeyMismatch`. */
export const requireFittingMasterKeys = ({ masterKeyChecks, keys }: SigningKeysState, masterKeys: MasterKeys): void => {
  const ids = new Set(masterKeys.ids);
  const recorded = masterKeyChecks.filter(({ masterKeyId }) => ids.has(masterKeyId));
  const fits = recorded.every(({ masterKeyId, check }) => check === masterKeys.checkValue(masterKeyId));
  if (!fits || (recorded.length === 0 && masterKeyChecks.length > 0)) {
    const known = masterKeyChecks.map(({ masterKeyId }) => masterKeyId).join(', ');
    throw new MasterKeyMismatch(`MASTER_KEY is not the key that this event log was begun with (ids: ${known})`);
  }
  const missing = keys.find(({ status, masterKeyId }) => status !== 'COMPROMISED' && !ids.has(masterKeyId));
  if (missing) {
    throw new MasterKeyMismatch(
      `Signing key ${missing.kid} needs master key ${missing.masterKeyId}: add it to MASTER_KEY_PREVIOUS`,
    );
  }
};

const generate = promisify(generateKeyPair);

const generateSigningKey = async (
  alg: SigningAlgorithm,
  masterKeys: MasterKeys,
): Promise<Omit<SigningKeyPublished['data'], 'publishedAt'>> => {
  const pair = alg === 'EdDSA' ? await generate('ed25519') : await generate('rsa', { modulusLength: 2048 });
  const publicJwk = pair.publicKey.export({ format: 'jwk' });
  const kid = await calculateJwkThumbprint(publicJwk);
  // On a command line it would be taken for an option.
  if (kid.startsWith('-')) return generateSigningKey(alg, masterKeys);
  return { kid, alg, publicJwk, ...wrapKey(pair.privateKey.export({ format: 'der', type: 'pkcs8' }), kid, masterKeys) };
};

const COMMAND_NAMESPACE = '6d4d2c3e-58a1-4f0b-9c53-2f6b1f0f7a10';

const derivedContext = (command: string) => startContext(uuidV5(command, COMMAND_NAMESPACE), command);

const startContext = (commandId: string, command: string): CommandContext => ({
  commandId,
  commandHash: createHash('sha256').update(command).digest('hex'),
  actor: { subject: 'consumer-clients', roles: [], via: 'start' },
  correlationId: commandId,
  causationId: commandId,
});

const remembered = <Value>(memory: Map<string, Value>, kid: string, make: () => Value): Value => {
  const known = memory.get(kid);
  if (known !== undefined) return known;
  const made = make();
  memory.set(kid, made);
  return made;
};
