import { LogUnavailable } from './errors.js';
import type { CallOptions } from './port.js';

/** Milliseconds that a command, or a read of a stream's state, waits for the log. */
export const PATIENCE_MS = 5_000;

/** The time that one caller waits for the log, over all calls that are made for it. */
export class Patience {
  private endsAt = performance.now() + PATIENCE_MS;

  /** What the next call may take. Throws `LogUnavailable` when nothing is left: then it must not be made. */
  get left(): Required<CallOptions> {
    const deadlineMs = Math.ceil(this.endsAt - performance.now());
    if (deadlineMs <= 0) throw new LogUnavailable(`The event log did not get to it within ${PATIENCE_MS} ms`);
    return { deadlineMs };
  }

  /** Does what is no waiting for the log. */
  async except<T>(work: () => T | Promise<T>): Promise<T> {
    const begunAt = performance.now();
    try {
      return await work();
    } finally {
      this.endsAt += performance.now() - begunAt;
    }
  }
}
