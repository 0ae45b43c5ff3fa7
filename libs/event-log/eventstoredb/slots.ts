import type { Deadline } from './deadline.js';

/** So many may go at a time; the others wait, first come, first served, but for those whom the others wait for. */
export class Slots {
  private readonly urgent = new Set<() => void>();
  private readonly waiting = new Set<() => void>();

  constructor(private free: number) {}

  /** Throws `LogUnavailable` at the deadline. */
  async take(deadline: Deadline, { isUrgent = false } = {}): Promise<void> {
    if (this.free > 0) {
      this.free -= 1;
      return;
    }
    const queue = isUrgent ? this.urgent : this.waiting;
    let take: (() => void) | undefined;
    const taken = new Promise<void>((resolve) => {
      take = resolve;
      queue.add(resolve);
    });
    try {
      await deadline.race(taken);
    } catch (error) {
      // Given to it in the same turn in which it gave up: the next one takes it.
      if (take && !queue.delete(take)) this.release();
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
    this.free += 1;
  }
}
