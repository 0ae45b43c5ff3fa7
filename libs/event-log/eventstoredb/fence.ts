import { type Credentials, jsonEvent } from '@eventstore/db-client';
import { LRUCache } from 'lru-cache';
import type { Connection, Link } from './connection.js';
import { ATTEMPT_MS, Deadline } from './deadline.js';
import { inTrouble } from './errors.js';
import { readEach } from './reads.js';

/** An append that a quorum acknowledged: when it began, in milliseconds of the monotonic clock, its link led to the leader. */
export interface Fence {
  readonly link: Link;
  readonly beganAt: number;
}

export interface FencesOptions {
  /** The connection of the strong reads: a fence says nothing about any other. */
  readonly connection: Connection;
  readonly credentials: Credentials;
  /** Name of the process: the fences are appended to `fence-<process>`. */
  readonly processName: string;
  /** Milliseconds; 0: only a fence counts that began after its caller arrived. */
  readonly maxAgeMs: number;
  /** The wall clock, in milliseconds since 1970. */
  readonly wallClock: () => number;
}

/** Clocks drift slowly. */
const COMPARE_CLOCKS_EVERY_MS = 5_000;

/**
 * Proof that the strong reads' link leads to the leader. A leader that was paused and replaced goes on answering reads
 * from its old state until it learns better, but can't have an append acknowledged. One fence at a time is under way,
 * for all who wait.
 */
export class Fences {
  private latest: Fence | undefined;
  private appending: Promise<void> | undefined;
  private keepsOne = false;
  /** By event id, also of those whose answer is not there yet. */
  private readonly begun = new LRUCache<string, number>({ max: 64 });
  readonly stream: string;
  /** By how many milliseconds the wall clock and the leader's were apart at least when they were last compared. */
  clockSkewMs = 0;
  private clocksComparedAt = -Infinity;

  constructor(private readonly options: FencesOptions) {
    this.stream = `fence-${options.processName}`;
  }

  /** One that counts for a caller who arrived then. Throws `LogUnavailable`, and what the driver throws. */
  async before(arrivedAt: number, deadline: Deadline): Promise<Fence> {
    while (!this.latest || !this.counts(this.latest, arrivedAt)) await this.appended(deadline);
    return this.latest;
  }

  /** Appends one that begins after the call, whatever there is. Throws `LogUnavailable`, and what the driver throws. */
  async mark(deadline: Deadline): Promise<void> {
    const arrivedAt = performance.now();
    while (!this.latest || this.latest.beganAt < arrivedAt) await this.appended(deadline);
  }

  /** When the fence with this event id began: what was acknowledged before comes before it in the log. */
  beganAt(eventId: string): number | undefined {
    return this.begun.get(eventId);
  }

  /**
   * Whether it counts now, for a caller who arrived then: on the same, unbroken link, and either begun after the caller
   * arrived, or so lately that no other leader can have been elected.
   */
  counts({ link, beganAt }: Fence, arrivedAt: number): boolean {
    if (link.lost.aborted) return false;
    return beganAt >= arrivedAt || performance.now() - beganAt < this.options.maxAgeMs;
  }

  private appended(deadline: Deadline): Promise<void> {
    this.appending ??= this.append().finally(() => (this.appending = undefined));
    return deadline.race(this.appending);
  }

  private async append(): Promise<void> {
    const { connection, credentials, wallClock } = this.options;
    const deadline = new Deadline(ATTEMPT_MS);
    const fence = async (link: Link): Promise<Fence> => {
      const options = { requiresLeader: true, credentials };
      try {
        if (!this.keepsOne) {
          await link.client.setStreamMetadata(
            this.stream,
            { maxCount: 1 },
            { ...options, deadline: deadline.attemptMs },
          );
          this.keepsOne = true;
        }
        const beganAt = performance.now();
        const sentAt = wallClock();
        const event = jsonEvent({ type: 'Fence', data: {} });
        this.begun.set(event.id, beganAt);
        await link.client.appendToStream(this.stream, event, { ...options, deadline: deadline.attemptMs });
        await this.compareClocks(link, event.id, sentAt, wallClock());
        return { link, beganAt };
      } catch (error) {
        link.giveUp(); // Whatever it was: what can't be fenced is not read from.
        throw inTrouble(error, `append to ${this.stream}`);
      }
    };
    // The reads that wait for a place wait for it, too.
    this.latest = await connection.use(deadline, fence, { isUrgent: true });
  }

  /** The leader wrote the fence between these two moments: what is outside of them the clocks are apart. */
  private async compareClocks(link: Link, eventId: string, sentAt: number, answeredAt: number): Promise<void> {
    if (performance.now() - this.clocksComparedAt < COMPARE_CLOCKS_EVERY_MS) return;
    const last = { direction: 'backwards', fromRevision: 'end', maxCount: 1, requiresLeader: true } as const;
    await readEach(link.client.readStream(this.stream, last), new Deadline(ATTEMPT_MS), ({ id, created }) => {
      if (id === eventId) this.clockSkewMs = Math.max(0, sentAt - created.getTime(), created.getTime() - answeredAt);
      return true;
    });
    this.clocksComparedAt = performance.now();
  }
}
