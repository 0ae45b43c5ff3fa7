import { randomBytes } from 'node:crypto';
import { type ClientId, Failure } from '#domain';
import { argon2Concurrency } from './argon2-concurrency.js';
import { BoundedQueue, QueueFull, type QueueLoad } from './bounded-queue.js';
import type { MasterKeys } from './master-keys.js';
import type { RandomBytes } from './random.js';
import { hintOf, mintSecret } from './secret.js';
import { hashSecret } from './verifier.js';

export interface MintedSecret {
  /** The new secret. The caller gets the secret once. The secret is never stored. */
  readonly secret: string;
  /** The secret's Argon2id hash in PHC form. We store the hash. */
  readonly verifier: string;
  /** The part of the secret that may be shown for ever (`hintOf`). */
  readonly hint: string;
}

/** Too many secrets are being minted. The caller may try again after a second. */
export class MintingBusy extends Failure {
  override readonly name = 'MintingBusy';
  readonly kind = 'unavailable';
  readonly code = 'busy';
  readonly detail = 'Too many credentials are in the making; try again';
}

/**
 * Makes secrets and their verifiers (Argon2id hashes). The mint has its own queue, so minting and logins never wait for
 * each other.
 */
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

  /** The Argon2 runs that run and wait now, and those that were refused. */
  get load(): QueueLoad {
    return this.#queue.load;
  }

  /** Makes a new secret for this client, with the secret's verifier and hint. Throws `MintingBusy`. */
  async mint(clientId: ClientId): Promise<MintedSecret> {
    const secret = mintSecret(clientId, this.#keys, this.#random);
    try {
      const verifier = await this.#queue.run(clientId, () => hashSecret(secret, this.#keys, this.#random));
      return { secret, verifier, hint: hintOf(secret) };
    } catch (error) {
      throw error instanceof QueueFull ? new MintingBusy('Too many secrets are being minted') : error;
    }
  }
}
