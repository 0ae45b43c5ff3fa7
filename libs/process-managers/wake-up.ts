import { pause } from '#event-log';

/** Wakes a loop that waits for work. */
export class WakeUp {
  private notified = new AbortController();

  /** Wakes the loop, or lets its next `wait` return at once. */
  notify(): void {
    this.notified.abort();
  }

  /** Resolves after this time, as soon as `notify` was called since the last `wait`, or as soon as the signal aborts. */
  async wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (!this.notified.signal.aborted) await pause(milliseconds, AbortSignal.any([signal, this.notified.signal]));
    if (this.notified.signal.aborted) this.notified = new AbortController();
  }
}
