import { createHash, createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { type MasterKeys, unwrapKey, wrapKey } from '#credentials';
import {
  type Instant,
  LOG_KEY_PURPOSES,
  type LogKey,
  type LogKeyPurpose,
  newestLogKey,
  type NewLogKey,
  type SigningKeysState,
  signingLogKeys,
} from '#domain';
import { internalContext, type SigningKeys } from '#event-log';
import type { CommandContext } from '#events';
import { cosign, KEY_TYPE, type NoteKey, noteOf, publicKeyBytes, signText } from '#transparency';

const generate = promisify(generateKeyPair);

/**
 * The keys that sign tree heads: one signs the head's text (`LOG`), another one the time at which that was done (`TIME`).
 * They are in stream `signingKeys`, wrapped by the master key, sign no token, and are never in the JWKS. A private key is
 * unwrapped when it is first used, and is then kept in memory.
 */
export class LogKeyRing {
  readonly #privateKeys = new Map<string, KeyObject>();

  constructor(
    private readonly keys: SigningKeys,
    private readonly masterKeys: MasterKeys,
  ) {}

  /**
   * Reads the keys strongly, and publishes the first key of a purpose, and the successor of a compromised one. Throws
   * `LogUnavailable`, `RevisionConflict`, `NotDuringUpgrade`.
   */
  async current(at: Instant): Promise<SigningKeysState> {
    let { state } = await this.keys.read();
    for (const purpose of LOG_KEY_PURPOSES) {
      const newest = newestLogKey(state, purpose);
      if (newest && newest.compromisedAt === undefined) continue;
      state = await this.publish(purpose, at, internalContext({ via: 'tree' }));
    }
    return state;
  }

  /** Publishes a key of the purpose, which replaces the one before. Throws as `current`. */
  async publish(purpose: LogKeyPurpose, at: Instant, context: CommandContext): Promise<SigningKeysState> {
    const key = await this.generate(purpose);
    const command = (state: SigningKeysState) => {
      const replaces = newestLogKey(state, purpose)?.kid;
      return { type: 'PublishLogKey' as const, ...key, ...(replaces !== undefined && { replaces }), at };
    };
    return (await this.keys.execute(undefined, command, { context })).state;
  }

  /** Returns the signed note: a line of each `LOG` key that signs at `at`, then of each `TIME` key, newest keys first. */
  sign(state: SigningKeysState, origin: string, text: string, at: Instant): string {
    const seconds = Math.floor(Date.parse(at) / 1000);
    return noteOf(text, [
      ...signingLogKeys(state, 'LOG', at).map((key) => signText(origin, this.privateKey(key), text)),
      ...signingLogKeys(state, 'TIME', at).map((key) =>
        cosign(timeKeyName(origin), this.privateKey(key), seconds, text),
      ),
    ]);
  }

  /** Returns the signed note of a statement, whose text is no tree head: a line of each `LOG` key that signs at `at`. */
  signStatement(state: SigningKeysState, origin: string, text: string, at: Instant): string {
    const keys = signingLogKeys(state, 'LOG', at);
    return noteOf(
      text,
      keys.map((key) => signText(origin, this.privateKey(key), text)),
    );
  }

  private async generate(purpose: LogKeyPurpose): Promise<NewLogKey> {
    const { privateKey } = await generate('ed25519');
    const publicKey = publicKeyBytes(privateKey);
    const kid = createHash('sha256').update(publicKey).digest('hex').slice(0, 32);
    const wrapped = wrapKey(privateKey.export({ format: 'der', type: 'pkcs8' }), kid, this.masterKeys);
    return { kid, purpose, publicKey: Buffer.from(publicKey).toString('base64'), ...wrapped };
  }

  private privateKey(key: LogKey): KeyObject {
    let privateKey = this.#privateKeys.get(key.kid);
    if (!privateKey) {
      const der = unwrapKey(key, key.kid, this.masterKeys);
      privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
      this.#privateKeys.set(key.kid, privateKey);
    }
    return privateKey;
  }
}

/** The name under which the `TIME` keys cosign the heads of an origin. */
const timeKeyName = (origin: string): string => `${origin}/time`;

/** Returns the public form of a key, under its name for the heads of `origin`. */
export const noteKeyOf = ({ purpose, publicKey }: LogKey, origin: string): NoteKey => ({
  ...(purpose === 'LOG'
    ? { name: origin, type: KEY_TYPE.ED25519 }
    : { name: timeKeyName(origin), type: KEY_TYPE.COSIGNATURE }),
  publicKey: Buffer.from(publicKey, 'base64'),
});
