import type { Deadline } from './deadline.js';

/**
 * Limits how many callers hold a permit at a time. Callers get their permits in the order of their calls, but urgent
 * callers come first.
 */
export class Semaphore {
  private readonly urgent = new Set<() => void>();
  private readonly waiting = new Set<() => void>();

  constructor(private permits: number) {}

  /**
   * Resolves when the caller has got a permit. The caller MUST call `release` afterwards. Throws `LogUnavailable` at
   * the deadline.
   */
  async acquire(deadline: Deadline, { isUrgent = false } = {}): Promise<void> {
    if (this.permits > 0) {
      this.permits -= 1;
      return;
    }
    const queue = isUrgent ? this.urgent : this.waiting;
    let grant: (() => void) | undefined;
    const granted = new Promise<void>((resolve) => {
      grant = resolve;
      queue.add(resolve);
    });
    try {
      await deadline.race(granted);
    } catch (error) {
      // If this caller is no longer queued, the caller got its permit at the very moment of the deadline. We pass this
      // permit on to the next caller.
      if (grant && !queue.delete(grant)) this.release();
      throw error;
    }
  }

  release(): void {
    for (const queue of [this.urgent, this.waiting]) {
      const [next] = queue;
      if (!next) continue;
      queue.delete(next);
      next();
      return;
    }
    this.permits += 1;
  }
}
