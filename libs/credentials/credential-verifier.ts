import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { Failure } from '#domain';
import { argon2Concurrency } from './argon2-concurrency.js';
import { BoundedQueue, QueueFull, type QueueLoad } from './bounded-queue.js';
import { HmacSha256 } from './hmac-sha-256.js';
import type { MasterKeys } from './master-keys.js';
import { hasGoodCheck, isSecret } from './secret.js';
import { dummyVerifier, verifySecret } from './verifier.js';

/**
 * One generation of a client's secret (each rotation starts a new generation). Logins accept this generation now. The
 * domain's `Credential` has this shape, too.
 */
export interface StoredCredential {
  readonly generation: number;
  readonly verifier: string;
}

export interface CredentialVerifierOptions {
  readonly keys: MasterKeys;
  /** Maximum number of Argon2 runs (computations of the password hash) at once. Default: `argon2Concurrency()`. */
  readonly concurrency?: number;
  /** Maximum number of Argon2 runs that wait, for all clients together (default 256). */
  readonly maxWaiting?: number;
  /** Maximum number of Argon2 runs that wait for the same client (default 8). */
  readonly maxWaitingPerClient?: number;
  /**
   * Maximum number of verified pairs (secret, client id) that are remembered. The same number of refused pairs is
   * remembered, too. Default: 100,000 of each kind (40 MB in total).
   */
  readonly remembered?: number;
  /** Makes one Argon2 run. Tests replace this function to count the runs. */
  readonly verifySecret?: typeof verifySecret;
}

/** Too many verifications are waiting, either for this client or in total. The caller may try again after a second. */
export class VerificationBusy extends Failure {
  override readonly name = 'VerificationBusy';
  readonly kind = 'unavailable';
  readonly code = 'busy';
  readonly detail = 'Too many logins of this kind; try again';
}

const RUNS_PER_CLIENT = 2;

/**
 * A secret whose check digits are right for this client. The secret was thus minted for the client at some time, but
 * may no longer be good.
 */
export interface OfferedSecret {
  readonly clientId: string;
  readonly secret: string;
  /** A keyed hash (MAC) of the pair (secret, client id), under which the pair's verdict is kept in memory. */
  readonly mac: string;
}

/**
 * Finds out whether a secret is good for a client, and which generation of the client's secret it is.
 *
 * 1. `offered` tests the secret's check digits. The test takes microseconds and refuses made-up secrets. A remembered
 *    pair (secret, client id) is not tested again, since its check digits were right before. The caller reads the
 *    client's state only after this step.
 * 2. `recall` looks the pair up in memory. Memory holds only MACs under a key that never leaves this process, so memory
 *    reveals no secret. Each verdict belongs to one verifier (the Argon2id hash of a secret), so a rotation makes the
 *    verdict useless.
 * 3. `verify` makes an Argon2 run (a computation of the password hash) for each good generation, the newest first, and
 *    remembers the verdict.
 *
 * The response time reveals whether the check digits were right. The rightful holder of a secret knows that already,
 * and a guess has the right digits with a chance of 2^-48. If the digits are wrong, all refusals take equally long,
 * whether the client exists or not. If the digits are right but the client has no good credentials (because it is
 * unknown, revoked, or of the other type), the caller passes `[]`. Then one Argon2 run against a dummy verifier is
 * made, and the verdict is remembered, too. So only a present or former holder of a secret can see a difference: the
 * first refusal takes two runs during an overlap, otherwise one run. Later refusals take no run.
 */
export class CredentialVerifier {
  readonly #keys: MasterKeys;
  readonly #queue: BoundedQueue;
  readonly #verifySecret: typeof verifySecret;
  readonly #dummy: StoredCredential;
  readonly #mac = new HmacSha256(randomBytes(32));
  /**
   * The verifier of each remembered secret. The key is the MAC of the pair (secret, client id). Refused pairs are kept
   * in another cache, so that refused pairs can't push out verified pairs.
   */
  readonly #verified: LRUCache<string, string>;
  readonly #refused: LRUCache<string, true>;
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(options: CredentialVerifierOptions) {
    const { concurrency = argon2Concurrency(), maxWaiting = 256, maxWaitingPerClient = 8 } = options;
    this.#keys = options.keys;
    this.#verifySecret = options.verifySecret ?? verifySecret;
    this.#dummy = { generation: 0, verifier: dummyVerifier(options.keys) };
    this.#queue = new BoundedQueue({
      concurrency,
      maxWaiting,
      concurrencyPerOwner: RUNS_PER_CLIENT,
      maxWaitingPerOwner: maxWaitingPerClient,
    });
    // We set `maxSize` because `max` would allocate the whole table at once.
    const bound = { maxSize: options.remembered ?? 100_000, sizeCalculation: () => 1 };
    this.#verified = new LRUCache(bound);
    this.#refused = new LRUCache(bound);
  }

  /** The Argon2 runs that run and wait now, and those that were refused. */
  get load(): QueueLoad {
    return this.#queue.load;
  }

  /**
   * Returns `undefined` if the secret has a wrong form or wrong check digits, and so was never minted for this client.
   */
  offered(clientId: string, secret: string): OfferedSecret | undefined {
    if (!isSecret(secret)) return undefined;
    // The secret comes first and has a fixed length, so two different pairs never give the same text.
    const mac = this.#mac.of(`${secret}:${clientId}`);
    return this.#verified.has(mac) || hasGoodCheck(clientId, secret, this.#keys)
      ? { clientId, secret, mac }
      : undefined;
  }

  /**
   * Returns the generation of a remembered secret, or `undefined` if the secret is not remembered or its generation is
   * no longer good.
   */
  recall({ mac }: OfferedSecret, credentials: readonly StoredCredential[]): number | undefined {
    const verifier = this.#verified.get(mac);
    return verifier === undefined ? undefined : credentials.find((known) => known.verifier === verifier)?.generation;
  }

  /**
   * Returns the generation of this secret, or `undefined` if no good generation has this secret. `credentials`: the
   * generations that are good now, or `[]`. The newest generation is tried first. Throws `VerificationBusy` if an
   * Argon2 run is needed and the queue is full, and `MasterKeyUnknown` if the master key of a verifier is missing.
   */
  async verify(offered: OfferedSecret, credentials: readonly StoredCredential[]): Promise<number | undefined> {
    const known = this.recall(offered, credentials);
    if (known !== undefined) return known;
    const newestFirst = credentials.toSorted((a, b) => b.generation - a.generation);
    for (const { generation, verifier } of newestFirst.length > 0 ? newestFirst : [this.#dummy]) {
      if (await this.#matches(offered, verifier)) return generation;
    }
    return undefined;
  }

  async #matches(offered: OfferedSecret, verifier: string): Promise<boolean> {
    const verdict = verdictOn(offered, verifier);
    if (this.#refused.get(verdict)) return false;
    const shared = this.#running.get(verdict);
    if (shared) return shared;
    const run = this.#run(offered, verifier).finally(() => this.#running.delete(verdict));
    this.#running.set(verdict, run);
    return run;
  }

  async #run(offered: OfferedSecret, verifier: string): Promise<boolean> {
    const { clientId, secret, mac } = offered;
    try {
      const matches = await this.#queue.run(clientId, () => this.#verifySecret(secret, verifier, this.#keys));
      if (matches) this.#verified.set(mac, verifier);
      else this.#refused.set(verdictOn(offered, verifier), true);
      return matches;
    } catch (error) {
      throw error instanceof QueueFull ? new VerificationBusy('Too many verifications wait') : error;
    }
  }
}

/**
 * Returns the key under which we keep the verdict on whether this verifier matches this secret of this client.
 * The MAC stands for both the secret and the client. The MAC has a fixed length, so two different inputs never give the
 * same text.
 */
const verdictOn = ({ mac }: OfferedSecret, verifier: string): string => hash('sha256', `${mac}${verifier}`, 'base64');
