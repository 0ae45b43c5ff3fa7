import { randomBytes } from 'node:crypto';
import type { ClientId } from '#domain';
import { argon2Concurrency } from './argon2-concurrency.js';
import { BoundedQueue, QueueFull } from './bounded-queue.js';
import type { MasterKeys } from './master-keys.js';
import type { RandomBytes } from './random.js';
import { mintSecret } from './secret.js';
import { hashSecret } from './verifier.js';

export interface MintedSecret {
  /** Shown once, kept nowhere. */
  readonly secret: string;
  /** What is stored: Argon2id in PHC form. */
  readonly verifier: string;
}

/** Too many secrets are being minted; trying again in a second is right. */
export class MintingBusy extends Error {
  override readonly name = 'MintingBusy';
}

/** Makes secrets and their verifiers, on a queue of its own: logins neither wait for it nor it for them. */
export class CredentialMint {
  readonly #keys: MasterKeys;
  readonly #random: RandomBytes;
  readonly #queue: BoundedQueue;

  constructor(options: { keys: MasterKeys; concurrency?: number; maxWaiting?: number; random?: RandomBytes }) {
    const { keys, concurrency = argon2Concurrency(), maxWaiting = 256, random = randomBytes } = options;
    this.#keys = keys;
    this.#random = random;
    this.#queue = new BoundedQueue({
      concurrency,
      maxWaiting,
      concurrencyPerOwner: concurrency,
      maxWaitingPerOwner: maxWaiting,
    });
  }

  /** A new secret of this client, and its verifier. Throws `MintingBusy`. */
  async mint(clientId: ClientId): Promise<MintedSecret> {
    const secret = mintSecret(clientId, this.#keys, this.#random);
    try {
      const verifier = await this.#queue.run(clientId, () => hashSecret(secret, this.#keys, this.#random));
      return { secret, verifier };
    } catch (error) {
      throw error instanceof QueueFull ? new MintingBusy('Too many secrets are being minted') : error;
    }
  }
}
