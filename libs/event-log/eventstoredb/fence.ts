import { type Credentials, jsonEvent } from '@eventstore/db-client';
import { LRUCache } from 'lru-cache';
import { LONG_AGO, type Moment, momentNow, msSince } from '#event-log';
import { keepNewestOnly } from './appends.js';
import type { Connection, Link } from './connection.js';
import { ATTEMPT_MS, Deadline } from './deadline.js';
import { namingRight } from './errors.js';
import { readEach } from './reads.js';
import { FENCES } from './stream-names.js';

/**
 * A fence is an append that a quorum of the servers has acknowledged. The fence proves that `link` led to the leader at
 * `beganAt`.
 */
export interface Fence {
  readonly link: Link;
  readonly beganAt: Moment;
}

export interface FencesOptions {
  /**
   * The connection that carries the strong reads (reads that are never outdated). A fence proves nothing about any
   * other connection.
   */
  readonly connection: Connection;
  readonly credentials: Credentials;
  /** The name of this process. The fences of this process are appended to stream `fence-<processName>`. */
  readonly processName: string;
  /**
   * How long a fence counts after it began, in ms. If the value is 0, a fence counts only for callers who arrived
   * before the fence began.
   */
  readonly maxAgeMs: number;
  /** Returns the time of the wall clock, in milliseconds since 1970. */
  readonly wallClock: () => number;
}

/** Stands for the fences of all processes in errors: a process has a new name at each attempt to start. */
const ANY_FENCES = `${FENCES}…`;

/**
 * Milliseconds between two comparisons of the clocks. Clocks drift slowly, so a comparison every few seconds is enough.
 */
const COMPARE_CLOCKS_EVERY_MS = 5_000;
/** The part of `maxAgeMs` after which a fence is renewed. The rest is the time for the new fence to be acknowledged. */
const RENEWED_AT = 0.75;
/** For this many milliseconds after the last strong read, fences are renewed. */
const RENEWED_FOR_MS = 10_000;

/**
 * Strong reads (reads that are never outdated) use one link: a client on one unbroken connection. This class proves
 * that the link leads to the leader.
 *
 * 1. A leader that is paused is replaced by a new leader. When the old leader resumes, it returns outdated events to
 *    readers until it notices the new leader. But no quorum acknowledges appends to the old leader.
 * 2. So this process appends a small event, a fence, on the link that carries its strong reads. The acknowledgement
 *    proves that the link led to the leader when the append began.
 * 3. A strong read counts in two cases. In the first case, a fence on the same link began after the read's caller
 *    arrived. In the second case, a fence on the same link began less than `maxAgeMs` ago: the servers need longer than
 *    `maxAgeMs` to elect a new leader.
 * 4. Only one fence is appended at a time. All waiting callers share this fence.
 * 5. While strong reads are made, and for some seconds after the last one, the next fence is begun before the latest one
 *    is too old. So these reads don't wait for a fence, which would cost them a second round trip. A `maxAgeMs` of 0
 *    turns this off.
 * 6. Subscriptions with the option `marked` receive the fences, too. For such a subscription, a fence is a marker: once
 *    the fence has arrived, the subscription has received all events that were acknowledged before the fence began.
 */
export class Fences {
  private latest: Fence | undefined;
  private appending: Promise<void> | undefined;
  private keepsOne = false;
  /** When each fence began, by the fence's event id. A fence is recorded here even before the fence is acknowledged. */
  private readonly begun = new LRUCache<string, Moment>({ max: 64 });
  /** The stream of this process's fences. */
  readonly stream: string;
  /** The minimum difference between the wall clock and the leader's clock, in ms, according to the last comparison. */
  clockSkewMs = 0;
  private clocksComparedAt = LONG_AGO;
  private renewal: NodeJS.Timeout | undefined;
  /** When a strong read last asked for a fence, in ms of the monotonic clock. */
  private askedAt = -Infinity;

  constructor(private readonly options: FencesOptions) {
    this.stream = FENCES + options.processName;
  }

  /**
   * Returns a fence that counts for a caller who arrived at `arrivedAt`. Appends a new fence if necessary. Throws
   * `LogUnavailable`, and the errors of the driver.
   */
  async fenceFor(arrivedAt: number, deadline: Deadline): Promise<Fence> {
    this.askedAt = performance.now();
    while (!this.latest || !this.counts(this.latest, arrivedAt)) await this.appended(deadline);
    this.renewInTime(this.latest);
    return this.latest;
  }

  /** Appends a fence that begins after this call. Throws `LogUnavailable`, and the errors of the driver. */
  async mark(deadline: Deadline): Promise<void> {
    const arrivedAt = performance.now();
    while (!this.latest || this.latest.beganAt.monotonic < arrivedAt) await this.appended(deadline);
  }

  /**
   * Returns the moment at which the fence with this event id began, or `undefined` if this process does not know the
   * fence. Every event that was acknowledged before that moment has a smaller position in the log than the fence.
   */
  beganAt(eventId: string): Moment | undefined {
    return this.begun.get(eventId);
  }

  /**
   * Whether the fence counts now for a caller who arrived at `arrivedAt`, in ms of the monotonic clock (step 3 in the
   * comment of `Fences`).
   */
  counts({ link, beganAt }: Fence, arrivedAt: number): boolean {
    if (link.lost.aborted) return false;
    return beganAt.monotonic >= arrivedAt || msSince(beganAt) < this.options.maxAgeMs;
  }

  private async appended(deadline: Deadline): Promise<void> {
    try {
      await deadline.race(this.appendShared());
    } catch (error) {
      throw this.options.connection.failure ?? error;
    }
  }

  private appendShared(): Promise<void> {
    return (this.appending ??= this.append().finally(() => (this.appending = undefined)));
  }

  /** Carries out step 5 of `Fences`. */
  private renewInTime({ beganAt }: Fence): void {
    const { maxAgeMs } = this.options;
    if (this.renewal || maxAgeMs === 0) return;
    const renew = () => {
      this.renewal = undefined;
      if (performance.now() - this.askedAt < RENEWED_FOR_MS) void this.renewed();
    };
    this.renewal = setTimeout(renew, Math.max(0, RENEWED_AT * maxAgeMs - msSince(beganAt))).unref();
  }

  private async renewed(): Promise<void> {
    try {
      const isDue = !this.latest || msSince(this.latest.beganAt) >= RENEWED_AT * this.options.maxAgeMs;
      if (isDue) await this.appendShared();
    } catch {
      // The next strong read appends a fence itself, and gets the error if there still is one.
      return;
    }
    if (this.latest) this.renewInTime(this.latest);
  }

  /** Sets `$maxCount` of the stream again before the next fence, because the log was restored to an older state. */
  forgetSettings(): void {
    this.keepsOne = false;
  }

  private async append(): Promise<void> {
    const { connection, credentials, wallClock } = this.options;
    const deadline = new Deadline(ATTEMPT_MS);
    const fence = async (link: Link): Promise<Fence> => {
      const options = { requiresLeader: true, credentials };
      const stream = link.names.stored(this.stream);
      try {
        if (!this.keepsOne) {
          await keepNewestOnly(
            link,
            stream,
            { ...options, deadline: deadline.attemptMs },
            link.names.stored(ANY_FENCES),
          );
          this.keepsOne = true;
        }
        const beganAt = momentNow();
        const sentAt = wallClock();
        const event = jsonEvent({ type: 'Fence', data: {} });
        this.begun.set(event.id, beganAt);
        await link.client
          .appendToStream(stream, event, { ...options, deadline: deadline.attemptMs })
          .catch((error: unknown) => {
            throw namingRight(error, '$w', link.names.stored(ANY_FENCES), link);
          });
        await this.compareClocks(link, event.id, sentAt, wallClock());
        return { link, beganAt };
      } catch (error) {
        link.giveUp(); // A link on which a fence has failed, for whatever reason, is not used for reads.
        throw error;
      }
    };
    // The fence is urgent: all strong reads that wait for a permit also wait for this fence.
    this.latest = await connection.use(deadline, fence, { isUrgent: true });
  }

  /**
   * Compares the wall clock with the leader's clock. The leader dated the fence after `sentAt` and before `answeredAt`.
   * If the fence's date is not between these two times, the clocks differ at least by the distance between the date and
   * the nearer of the two times.
   */
  private async compareClocks(link: Link, eventId: string, sentAt: number, answeredAt: number): Promise<void> {
    if (msSince(this.clocksComparedAt) < COMPARE_CLOCKS_EVERY_MS) return;
    const last = { direction: 'backwards', fromRevision: 'end', maxCount: 1, requiresLeader: true } as const;
    const read = link.client.readStream(link.names.stored(this.stream), last);
    await readEach(read, new Deadline(ATTEMPT_MS), ({ id, created }) => {
      if (id === eventId) this.clockSkewMs = Math.max(0, sentAt - created.getTime(), created.getTime() - answeredAt);
      return true;
    }).catch((error: unknown) => {
      throw namingRight(error, '$r', link.names.stored(ANY_FENCES), link);
    });
    this.clocksComparedAt = momentNow();
  }
}
