import { pause } from '#event-log';

/** Wakes a loop that waits for work. */
export class Bell {
  private rung = new AbortController();

  /** Wakes the loop, or lets its next `wait` return at once. */
  ring(): void {
    this.rung.abort();
  }

  /** Resolves after this time, as soon as the bell was rung since the last `wait`, or as soon as the signal aborts. */
  async wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (!this.rung.signal.aborted) await pause(milliseconds, AbortSignal.any([signal, this.rung.signal]));
    if (this.rung.signal.aborted) this.rung = new AbortController();
  }
}
