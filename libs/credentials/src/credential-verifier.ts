import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { argon2Concurrency } from './argon2-concurrency.js';
import { BoundedQueue, QueueFull } from './bounded-queue.js';
import type { MasterKeys } from './master-keys.js';
import { hasGoodCheck } from './secret.js';
import { verifierOfNothing, verifySecret } from './verifier.js';

/** A generation of a client's secret that is good now; a domain `Credential` is one. */
export interface StoredCredential {
  readonly generation: number;
  readonly verifier: string;
}

export interface CredentialVerifierOptions {
  readonly keys: MasterKeys;
  /** Argon2 runs at once; default: the cores, and at most half of libuv's threads. */
  readonly concurrency?: number;
  /** Runs that may wait, of all clients and of one (default 256 and 8). */
  readonly maxWaiting?: number;
  readonly maxWaitingPerClient?: number;
  /** Pairs remembered, of the verified and of the refused (default 100,000 each, 26 MB when both are full). */
  readonly remembered?: number;
  /** One Argon2 run; tests count them here. */
  readonly verifySecret?: typeof verifySecret;
}

/** Too many verifications wait, of this client or of all; trying again in a second is right. */
export class VerificationBusy extends Error {
  override readonly name = 'VerificationBusy';
}

const RUNS_PER_CLIENT = 2;

/** A secret offered for a client, the verifier that judges it, and what memory calls the three. */
interface Pair {
  readonly clientId: string;
  readonly secret: string;
  readonly verifier: string;
  readonly mac: string;
}

/**
 * Tells which of a client's good generations a secret is.
 *
 * The order is memory, check, Argon2; callers whose answer needs the log check before they read it. Memory holds keyed MACs of (client id, secret, verifier) under a key that only
 * this process has ever had, so it reveals no secret, and a verdict is found again for that very verifier only: after
 * a rotation it is no one's.
 *
 * What the time of an answer tells: whether the check was good, which is no secret to whoever was given the secret and
 * a 2^-48 guess to all others. Without a good check every refusal costs the same, known client or not. With one, a
 * client that has nothing to verify against (unknown, revoked, of the other type: the caller passes `[]`) costs a run
 * against a verifier of nothing, remembered like any other. So only who once held a secret of the client can see a
 * difference at all: during an overlap their first refusal takes a run for each of the two generations; otherwise it
 * takes one, and later ones none, whatever the reason.
 */
export class CredentialVerifier {
  readonly #keys: MasterKeys;
  readonly #queue: BoundedQueue;
  readonly #verifySecret: typeof verifySecret;
  readonly #nothing: StoredCredential;
  readonly #macKey = createSecretKey(randomBytes(32));
  /** Apart from each other, so that refusals can't push out the pairs that log in. */
  readonly #verified: LRUCache<string, true>;
  readonly #refused: LRUCache<string, true>;
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(options: CredentialVerifierOptions) {
    const { concurrency = argon2Concurrency(), maxWaiting = 256, maxWaitingPerClient = 8 } = options;
    this.#keys = options.keys;
    this.#verifySecret = options.verifySecret ?? verifySecret;
    this.#nothing = { generation: 0, verifier: verifierOfNothing(options.keys) };
    this.#queue = new BoundedQueue({
      concurrency,
      maxWaiting,
      concurrencyPerOwner: RUNS_PER_CLIENT,
      maxWaitingPerOwner: maxWaitingPerClient,
    });
    const max = options.remembered ?? 100_000;
    this.#verified = new LRUCache({ max });
    this.#refused = new LRUCache({ max });
  }

  /**
   * The generation that this secret is, or `undefined`; `credentials` are those that are good now (none: pass `[]`).
   * The newest is tried first. Throws `VerificationBusy` when a run is needed and the queue is full, and
   * `MasterKeyUnknown` when a verifier's master key isn't there.
   */
  async verify(
    clientId: string,
    secret: string,
    credentials: readonly StoredCredential[],
  ): Promise<number | undefined> {
    const newestFirst = credentials.toSorted((a, b) => b.generation - a.generation);
    const candidates = (newestFirst.length > 0 ? newestFirst : [this.#nothing]).map(({ generation, verifier }) => ({
      generation,
      pair: { clientId, secret, verifier, mac: this.#macOf(clientId, secret, verifier) },
    }));
    const known = candidates.find(({ pair }) => this.#verified.get(pair.mac));
    if (known) return known.generation;
    if (!hasGoodCheck(clientId, secret, this.#keys)) return undefined;
    for (const { generation, pair } of candidates) {
      if (await this.#matches(pair)) return generation;
    }
    return undefined;
  }

  async #matches(pair: Pair): Promise<boolean> {
    if (this.#refused.get(pair.mac)) return false;
    const shared = this.#running.get(pair.mac);
    if (shared) return shared;
    const run = this.#run(pair).finally(() => this.#running.delete(pair.mac));
    this.#running.set(pair.mac, run);
    return run;
  }

  async #run({ clientId, secret, verifier, mac }: Pair): Promise<boolean> {
    try {
      const matches = await this.#queue.run(clientId, () => this.#verifySecret(secret, verifier, this.#keys));
      (matches ? this.#verified : this.#refused).set(mac, true);
      return matches;
    } catch (error) {
      throw error instanceof QueueFull ? new VerificationBusy('Too many verifications wait') : error;
    }
  }

  /** The secret has a fixed form and the client id no colon, so no two triples give the same input. */
  #macOf(clientId: string, secret: string, verifier: string): string {
    return createHmac('sha256', this.#macKey).update(`${clientId}:${secret}:${verifier}`).digest('base64');
  }
}
