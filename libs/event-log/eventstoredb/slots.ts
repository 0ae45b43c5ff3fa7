import type { Deadline } from './deadline.js';

/** So many may go at a time; the others wait, first come, first served. */
export class Slots {
  private readonly waiting = new Set<() => void>();

  constructor(private free: number) {}

  /** Throws `LogUnavailable` at the deadline. */
  async take(deadline: Deadline): Promise<void> {
    if (this.free > 0) {
      this.free -= 1;
      return;
    }
    let take: (() => void) | undefined;
    const taken = new Promise<void>((resolve) => {
      take = resolve;
      this.waiting.add(resolve);
    });
    try {
      await deadline.race(taken);
    } catch (error) {
      // Given to it in the same turn in which it gave up: the next one takes it.
      if (take && !this.waiting.delete(take)) this.release();
      throw error;
    }
  }

  release(): void {
    const [next] = this.waiting;
    if (!next) {
      this.free += 1;
      return;
    }
    this.waiting.delete(next);
    next();
  }
}
