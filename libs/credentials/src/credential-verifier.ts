import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { argon2Concurrency } from './argon2-concurrency.js';
import { BoundedQueue, QueueFull } from './bounded-queue.js';
import { HmacSha256 } from './hmac-sha-256.js';
import type { MasterKeys } from './master-keys.js';
import { hasGoodCheck, isSecret } from './secret.js';
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
  /** Pairs remembered, of the verified and of the refused (default 100,000 each, some 40 MB when both are full). */
  readonly remembered?: number;
  /** One Argon2 run; tests count them here. */
  readonly verifySecret?: typeof verifySecret;
}

/** Too many verifications wait, of this client or of all; trying again in a second is right. */
export class VerificationBusy extends Error {
  override readonly name = 'VerificationBusy';
}

const RUNS_PER_CLIENT = 2;

/** A secret that is offered for a client by someone who once held one of that client's: its check is good. */
export interface OfferedSecret {
  readonly clientId: string;
  readonly secret: string;
  /** What memory calls the two. */
  readonly mac: string;
}

/**
 * Tells which of a client's good generations a secret is.
 *
 * The order is check, memory, Argon2; callers read the client's state after the check. Memory holds
 * keyed MACs of (secret, client id) under a key that only this process has ever had, so it reveals no secret. A verdict
 * is remembered beside the verifier that it is about, and found again for that very one only: after a rotation it is no
 * one's. A pair that was verified once had a good check, which need not be computed again.
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
  readonly #mac = new HmacSha256(randomBytes(32));
  /** The verifier of each pair that was verified. Apart from the refused ones, which can't push out those that log in. */
  readonly #verified: LRUCache<string, string>;
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
    // By size, not `max`, which would take its tables at once.
    const bound = { maxSize: options.remembered ?? 100_000, sizeCalculation: () => 1 };
    this.#verified = new LRUCache(bound);
    this.#refused = new LRUCache(bound);
  }

  /** `undefined` for what was never minted for this client: it has not the form of a secret, or not this client's check. */
  offered(clientId: string, secret: string): OfferedSecret | undefined {
    if (!isSecret(secret)) return undefined;
    // The secret has a fixed length and stands first, so no two pairs give the same input.
    const mac = this.#mac.of(`${secret}:${clientId}`);
    return this.#verified.has(mac) || hasGoodCheck(clientId, secret, this.#keys)
      ? { clientId, secret, mac }
      : undefined;
  }

  /** The generation that this secret was verified as, where it was and that one is good now. */
  recall({ mac }: OfferedSecret, credentials: readonly StoredCredential[]): number | undefined {
    const verifier = this.#verified.get(mac);
    return verifier === undefined ? undefined : credentials.find((known) => known.verifier === verifier)?.generation;
  }

  /**
   * The generation that this secret is, or `undefined`; `credentials` are those that are good now (none: pass `[]`).
   * The newest is tried first. Throws `VerificationBusy` when a run is needed and the queue is full, and
   * `MasterKeyUnknown` when a verifier's master key isn't there.
   */
  async verify(offered: OfferedSecret, credentials: readonly StoredCredential[]): Promise<number | undefined> {
    const known = this.recall(offered, credentials);
    if (known !== undefined) return known;
    const newestFirst = credentials.toSorted((a, b) => b.generation - a.generation);
    for (const { generation, verifier } of newestFirst.length > 0 ? newestFirst : [this.#nothing]) {
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

/** Bound to the digest of the verifier; the MAC has a fixed length. */
const verdictOn = ({ mac }: OfferedSecret, verifier: string): string => hash('sha256', `${mac}${verifier}`, 'base64');
