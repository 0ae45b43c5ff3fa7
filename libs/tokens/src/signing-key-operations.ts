import { type MasterKeys, unwrapKey, wrapKey } from '#credentials';
import { type SigningKey, type SigningKeysState, DomainError, nextSigningKey } from '#domain';
import type { SigningKeys } from '#event-log';
import type { CommandContext } from '#events';
import type { SigningKeyRing } from './signing-key-ring.js';

export interface SigningKeyOperationsOptions {
  readonly ring: SigningKeyRing;
  readonly masterKeys: MasterKeys;
  /** A new one for each command. */
  readonly newContext: () => CommandContext;
  readonly now: () => Date;
}

/**
 * What operators do to the signing keys. No node needs to be told: each reads the ring strongly. All may be done again.
 * Throws `LogUnavailable`, `RevisionConflict`.
 */
export class SigningKeyOperations {
  constructor(
    private readonly keys: SigningKeys,
    private readonly options: SigningKeyOperationsOptions,
  ) {}

  /** Publishes the key that signs next, where none waits to do so; answers it. */
  async rotate(): Promise<SigningKey> {
    const { ring, newContext } = this.options;
    return nextSigningKey(await ring.state()) ?? ring.publish(newContext());
  }

  /**
   * Gives up a key, with all that it ever signed. Where it signs now the next one takes over in the same append, and is
   * published before where none waits. Throws `DomainError` for an unknown one.
   */
  async compromise(kid: string): Promise<SigningKeysState> {
    const { ring, newContext } = this.options;
    const state = await ring.state();
    const isSigning = state.keys.some((key) => key.kid === kid && key.status === 'SIGNING');
    if (isSigning && !nextSigningKey(state)) await ring.publish(newContext());
    const command = { type: 'CompromiseSigningKey', kid, at: this.at() } as const;
    return (await this.keys.execute(undefined, command, newContext())).state;
  }

  /** Wraps every key that may sign again under the current master key; answers how many were under another one. */
  async rewrap(): Promise<number> {
    const { ring, masterKeys, newContext } = this.options;
    const { keys } = await ring.state();
    const others = keys.filter((key) => key.status !== 'COMPROMISED' && key.masterKeyId !== masterKeys.currentId);
    for (const { kid } of others) {
      await this.keys.execute(undefined, (state) => this.rewrapped(state, kid), newContext());
    }
    return others.length;
  }

  private rewrapped({ keys }: SigningKeysState, kid: string) {
    const { masterKeys } = this.options;
    const key = keys.find((candidate) => candidate.kid === kid);
    if (!key) throw new DomainError('signing_key_not_found', 'No such signing key', 'kid');
    const wrapped = wrapKey(unwrapKey(key, kid, masterKeys), kid, masterKeys);
    return { type: 'RewrapSigningKey', kid, ...wrapped, at: this.at() } as const;
  }

  private at(): string {
    return this.options.now().toISOString();
  }
}
