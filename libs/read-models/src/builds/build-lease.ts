import { randomUUID } from 'node:crypto';
import type { BuildName, Lease, ReadStore } from '../port.js';

export interface BuildLeaseOptions {
  /**
   * How long another process must wait for our answer before it may take over the lease, in ms.
   */
  readonly ttlMs: number;
  /** Whether the first attempt takes the lease even if another process holds it (default: no). */
  readonly seize?: boolean;
  /** Returns monotonic milliseconds (default `performance.now`). */
  readonly now?: () => number;
}

/**
 * One process's view of a lease. A lease is the right to feed a build (copy of a projection's documents). The holder of
 * the lease feeds the build, and the other processes are spared this work. The lease is not needed for correctness. If
 * two processes believe that they hold the lease, the build is still right, because every document and checkpoint is
 * written by compare-and-set.
 *
 * 1. A waiting process asks: it stores `asked` in the lease.
 * 2. The holder reads the lease regularly. If a process has asked, the holder answers by storing the next turn (a
 *    counter). A holder for whose lease nobody waits writes nothing.
 * 3. The waiting process asks again in the new turn. It measures by its own clock how long its question has not been
 *    answered.
 * 4. If there is no answer for the lease's `ttlMs`, the waiting process takes the lease over.
 */
export class BuildLease {
  private held: Lease | undefined;
  /** The turn in which a question was stored that we wait to see answered, and when we first saw this question. */
  private unanswered: { readonly lease: Lease; readonly since: number } | undefined;
  private readonly ttlMs: number;
  private readonly now: () => number;
  private mayBeSeized: boolean;

  constructor(
    private readonly store: ReadStore,
    readonly build: BuildName,
    { ttlMs, seize = false, now = () => performance.now() }: BuildLeaseOptions,
  ) {
    this.ttlMs = ttlMs;
    this.now = now;
    this.mayBeSeized = seize;
  }

  /**
   * Takes the lease if no process holds the lease, or if the holder seems to have stopped: it has not answered for the
   * `ttlMs` of the stored lease. Otherwise asks the holder. With `seize`, the first call tries to take the lease in any
   * case. Returns `false` if the lease was not taken; the caller may try again later. Throws `ReadStoreUnavailable`.
   */
  async take(): Promise<boolean> {
    const stored = await this.store.lease(this.build);
    if (stored && !this.mayBeSeized && !(await this.isAbandoned(stored))) return false;
    this.mayBeSeized = false;
    const next = { holder: randomUUID(), turn: 1, ttlMs: this.ttlMs };
    if (!(await this.store.setLease(this.build, stored, next))) return false;
    this.held = next;
    return true;
  }

  /**
   * Answers if a waiting process has asked. Returns `false` if this process no longer holds the lease. Throws
   * `ReadStoreUnavailable`; the process may then still hold the lease.
   */
  async keep(): Promise<boolean> {
    while (this.held) {
      const { holder, turn, ttlMs } = this.held;
      const stored = await this.store.lease(this.build);
      if (stored?.holder !== holder) {
        this.held = undefined;
        return false;
      }
      if (!stored.asked) return true;
      // The stored turn may be later than ours, after an answer whose response was lost, or earlier, after the store was
      // restored.
      const next = { holder, turn: Math.max(turn, stored.turn) + 1, ttlMs };
      if (await this.store.setLease(this.build, stored, next)) {
        this.held = next;
        return true;
      }
    }
    return false;
  }

  /** Gives up the lease, so that another process can take the lease without waiting. Throws `ReadStoreUnavailable`. */
  async release(): Promise<void> {
    const { held } = this;
    this.held = undefined;
    if (held) await this.store.releaseLease(this.build, held.holder);
  }

  private async isAbandoned(stored: Lease): Promise<boolean> {
    const { unanswered } = this;
    if (unanswered?.lease.holder === stored.holder && unanswered.lease.turn === stored.turn && stored.asked) {
      return this.now() - unanswered.since >= stored.ttlMs;
    }
    const isAsked = stored.asked ?? (await this.store.setLease(this.build, stored, { ...stored, asked: true }));
    this.unanswered = isAsked ? { lease: stored, since: this.now() } : undefined;
    return false;
  }
}
