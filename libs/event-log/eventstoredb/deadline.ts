import { setTimeout as delay } from 'node:timers/promises';
import { LogUnavailable } from '#event-log';
import { mayPass, translated } from './errors.js';

/** What one attempt may take before its connection is given up, however long its caller would wait, in milliseconds. */
export const ATTEMPT_MS = 3_000;

/** By so much gRPC's deadlines, which go by the calendar clock, and Node's timers may be early. */
const TIMER_TOLERANCE_MS = 5;

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;

/** The moment at which a caller gives up, by the monotonic clock. */
export class Deadline {
  private readonly at: number;

  constructor(private readonly milliseconds: number) {
    this.at = performance.now() + milliseconds;
  }

  get remainingMs(): number {
    return Math.max(0, this.at - performance.now());
  }

  /** What one attempt of the call may take, in whole milliseconds. */
  get attemptMs(): number {
    return Math.max(1, Math.ceil(Math.min(ATTEMPT_MS, this.remainingMs)));
  }

  get isOver(): boolean {
    return this.remainingMs < TIMER_TOLERANCE_MS;
  }

  /** Less is left than an attempt may take. */
  get isShort(): boolean {
    return this.remainingMs < ATTEMPT_MS - TIMER_TOLERANCE_MS;
  }

  /** Settles as the promise does, or with `LogUnavailable` at the deadline. */
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
   * Repeats an attempt that failed in a way that may pass, until the deadline or until `closing`. Throws
   * `LogUnavailable`, and what the attempt throws that won't pass.
   */
  async retry<T>(attempt: () => Promise<T>, closing?: AbortSignal): Promise<T> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await attempt();
      } catch (error) {
        if (!mayPass(error) || closing?.aborted === true || this.remainingMs <= pauseMs) throw translated(error);
      }
      await delay(pauseMs, undefined, closing && { signal: closing }).catch(() => undefined);
    }
  }

  exceeded(): LogUnavailable {
    return new LogUnavailable(`EventStoreDB did not answer within ${this.milliseconds} ms`);
  }
}
