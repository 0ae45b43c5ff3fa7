import { type MasterKeys, unwrapKey, wrapKey } from '#credentials';
import { DomainError, isPublishedTooLate, nextSigningKey, type SigningKey, type SigningKeysState } from '#domain';
import type { SigningKeys } from '#event-log';
import type { CommandContext } from '#events';
import type { SigningKeyRing } from './signing-key-ring.js';

export interface SigningKeyOperationsOptions {
  readonly ring: SigningKeyRing;
  readonly masterKeys: MasterKeys;
  /** Returns a new context. Each command needs its own context. */
  readonly newContext: () => CommandContext;
  readonly now: () => Date;
}

/**
 * The commands by which operators change the signing keys. All nodes notice a change by themselves, because each node
 * reads the keys strongly (so they are never outdated). Every command may be repeated. Every method throws
 * `LogUnavailable`, `RevisionConflict`.
 */
export class SigningKeyOperations {
  constructor(
    private readonly keys: SigningKeys,
    private readonly options: SigningKeyOperationsOptions,
  ) {}

  /**
   * Returns the key that will sign next. Publishes a new key first if no key is waiting to sign, or if a wrong clock
   * dated the waiting key too late.
   */
  async rotate(): Promise<SigningKey> {
    const { ring, newContext } = this.options;
    const next = nextSigningKey(await ring.state());
    return next && !isPublishedTooLate(next, this.at()) ? next : ring.publish(newContext());
  }

  /**
   * Declares a key compromised: from then on, every token that the key ever signed is refused. If the key is the
   * signing key, the next key becomes the signing key in the same append. If there is no next key, a new key is
   * published first. Throws `DomainError` for an unknown key.
   */
  async compromise(kid: string): Promise<SigningKeysState> {
    const { ring, newContext } = this.options;
    const state = await ring.state();
    const isSigning = state.keys.some((key) => key.kid === kid && key.status === 'SIGNING');
    if (isSigning && !nextSigningKey(state)) await ring.publish(newContext());
    const command = { type: 'CompromiseSigningKey', kid, at: this.at() } as const;
    return (await this.keys.execute(undefined, command, { context: newContext() })).state;
  }

  /**
   * Wraps (encrypts) all signing keys and log keys with the current master key. Compromised keys are skipped. Returns the number of
   * keys that were wrapped with another master key before.
   */
  async rewrap(): Promise<number> {
    const { ring, masterKeys, newContext } = this.options;
    const { keys, logKeys } = await ring.state();
    const needed = [...keys, ...logKeys].filter(({ compromisedAt }) => compromisedAt === undefined);
    const others = needed.filter(({ masterKeyId }) => masterKeyId !== masterKeys.currentId);
    for (const { kid } of others) {
      await this.keys.execute(undefined, (state) => this.rewrapped(state, kid), { context: newContext() });
    }
    return others.length;
  }

  private rewrapped({ keys, logKeys }: SigningKeysState, kid: string) {
    const { masterKeys } = this.options;
    const key = [...keys, ...logKeys].find((candidate) => candidate.kid === kid);
    if (!key) throw new DomainError('not_found', 'signing_key_not_found', 'No such signing key', 'kid');
    const wrapped = wrapKey(unwrapKey(key, kid, masterKeys), kid, masterKeys);
    return { type: 'RewrapSigningKey', kid, ...wrapped, at: this.at() } as const;
  }

  private at(): string {
    return this.options.now().toISOString();
  }
}
