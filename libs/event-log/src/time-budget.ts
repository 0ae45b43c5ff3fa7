import type { CallOptions } from './call-options.js';
import { LogUnavailable } from './errors.js';

/** Milliseconds that a command, or a read of a stream's state, may wait for the event log in total. */
export const LOG_TIME_BUDGET_MS = 5_000;

/**
 * The time that one caller may still wait for the event log. All calls to the log on behalf of this caller share this
 * time.
 */
export class TimeBudget {
  private endsAt: number;

  constructor(private readonly milliseconds = LOG_TIME_BUDGET_MS) {
    this.endsAt = performance.now() + milliseconds;
  }

  /**
   * The deadline of the caller's next call to the log. Throws `LogUnavailable` if the budget is used up. The call MUST
   * NOT be made then.
   */
  get remaining(): Required<CallOptions> {
    const deadlineMs = Math.ceil(this.endsAt - performance.now());
    if (deadlineMs <= 0) throw new LogUnavailable(`The event log did not get to it within ${this.milliseconds} ms`);
    return { deadlineMs };
  }

  /** Runs work that does not wait for the log. The duration of `work` is not deducted from the budget. */
  async untimed<T>(work: () => T | Promise<T>): Promise<T> {
    const begunAt = performance.now();
    try {
      return await work();
    } finally {
      this.endsAt += performance.now() - begunAt;
    }
  }
}
