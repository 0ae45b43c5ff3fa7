import { setTimeout as delay } from 'node:timers/promises';
import { LogUnavailable, type Moment, momentNow, msSince } from '#event-log';
import { asPortError, isTransient } from './errors.js';

/**
 * Milliseconds that one attempt of a call may take. After this time the attempt's connection is given up, even if the
 * caller would wait longer.
 */
export const ATTEMPT_MS = 3_000;

/** Node's timers, and gRPC's deadlines (which use the wall clock), may fire this many milliseconds too early. */
const TIMER_TOLERANCE_MS = 5;

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;

/**
 * The moment at which a caller gives up, measured with the monotonic clock. `isOverByAnyClock` also looks at the wall
 * clock, since the monotonic clock stands still while a virtual machine is suspended.
 */
export class Deadline {
  private readonly at: number;
  private readonly begunAt: Moment = momentNow();

  constructor(private readonly milliseconds: number) {
    this.at = performance.now() + milliseconds;
  }

  get remainingMs(): number {
    return Math.max(0, this.at - performance.now());
  }

  /** The time that the next attempt of the call may take, in whole milliseconds. */
  get attemptMs(): number {
    return Math.max(1, Math.ceil(Math.min(ATTEMPT_MS, this.remainingMs)));
  }

  get isOver(): boolean {
    return this.remainingMs < TIMER_TOLERANCE_MS;
  }

  get isOverByAnyClock(): boolean {
    return this.isOver || msSince(this.begunAt) >= this.milliseconds;
  }

  /** Whether the caller has less time left than an attempt may take. */
  get isShort(): boolean {
    return this.remainingMs < ATTEMPT_MS - TIMER_TOLERANCE_MS;
  }

  /** Settles when the promise settles, with the same result. At the deadline, rejects with `LogUnavailable`. */
  async race<T>(promise: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(this.exceeded());
      }, this.remainingMs);
    });
    try {
      return await Promise.race([promise, over]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Repeats an attempt that failed with a transient error, until the deadline or until `closing` aborts. Throws
   * `LogUnavailable`. Throws any error that is not transient at once.
   */
  async retry<T>(attempt: () => Promise<T>, closing?: AbortSignal): Promise<T> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await attempt();
      } catch (error) {
        const mayRepeat = isTransient(error) && this.remainingMs > pauseMs && !this.isOverByAnyClock;
        if (!mayRepeat || closing?.aborted === true) throw asPortError(error);
      }
      await delay(pauseMs, undefined, closing && { signal: closing }).catch(() => undefined);
    }
  }

  exceeded(): LogUnavailable {
    return new LogUnavailable(`EventStoreDB did not answer within ${this.milliseconds} ms`);
  }
}
