import { randomUUID } from 'node:crypto';
import type { BuildName, Lease, ReadStore } from './port.js';

export interface BuildLeaseOptions {
  /** How long others must have seen a turn of ours before they may take over, in milliseconds. */
  readonly ttlMs: number;
  /** Take it from whoever has it at the first look (default: no). */
  readonly seize?: boolean;
  /** Monotonic milliseconds (default `performance.now`). */
  readonly now?: () => number;
}

/**
 * One process's part in who works at a build. It spares the others the work and no more: two that both believe to have
 * the lease change nothing, since every document and checkpoint is written by compare-and-set.
 */
export class BuildLease {
  private held: Lease | undefined;
  private seen: { readonly lease: Lease; readonly since: number } | undefined;
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
   * Takes the lease where it is free, or where this object itself has seen the same turn of another holder for that
   * one's ttl; else answers `false`, and is to be called again. Throws `ReadStoreUnavailable`.
   */
  async take(): Promise<boolean> {
    const stored = await this.store.lease(this.build);
    if (stored && !this.mayBeSeized && !this.isAbandoned(stored)) return false;
    this.mayBeSeized = false;
    const next = { holder: randomUUID(), turn: 1, ttlMs: this.ttlMs };
    if (!(await this.store.setLease(this.build, stored, next))) return false;
    this.held = next;
    return true;
  }

  /** `false` when another has it now, or nobody. Throws `ReadStoreUnavailable`; then it may still be ours. */
  async renew(): Promise<boolean> {
    while (this.held) {
      const next = { ...this.held, turn: this.held.turn + 1 };
      if (await this.store.setLease(this.build, this.held, next)) {
        this.held = next;
        return true;
      }
      // A renewal whose answer was lost, or a restored store: another turn may be there, and yet ours.
      const stored = await this.store.lease(this.build);
      this.held = stored?.holder === next.holder ? stored : undefined;
    }
    return false;
  }

  /** So that another need not wait. Throws `ReadStoreUnavailable`. */
  async release(): Promise<void> {
    const { held } = this;
    this.held = undefined;
    if (held) await this.store.releaseLease(this.build, held.holder);
  }

  private isAbandoned(stored: Lease): boolean {
    const { seen } = this;
    if (seen?.lease.holder === stored.holder && seen.lease.turn === stored.turn) {
      return this.now() - seen.since >= stored.ttlMs;
    }
    this.seen = { lease: stored, since: this.now() };
    return false;
  }
}
