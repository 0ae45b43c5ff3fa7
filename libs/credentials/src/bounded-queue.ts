export interface QueueLimits {
  /** Tasks that run at once. */
  readonly concurrency: number;
  /** Tasks that may wait for their turn. */
  readonly maxWaiting: number;
  /** Tasks of one owner that run at once. */
  readonly concurrencyPerOwner: number;
  /** Tasks of one owner that may wait, so that none fills the queue for the others. */
  readonly maxWaitingPerOwner: number;
}

/** The queue takes no more of this owner, or of anyone, now. */
export class QueueFull extends Error {
  override readonly name = 'QueueFull';
}

/** Runs asynchronous tasks, a bounded number at once, in the order of arrival among those whose owner may run. */
export class BoundedQueue {
  readonly #limits: QueueLimits;
  readonly #waiting: { owner: string; start: () => void }[] = [];
  readonly #runningOf = new Map<string, number>();
  #running = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** The task's own result or error. Rejects with `QueueFull`, without having run the task. */
  async run<T>(owner: string, task: () => Promise<T>): Promise<T> {
    if (this.#mayStart(owner)) this.#started(owner);
    else await this.#turnOf(owner);
    try {
      return await task();
    } finally {
      this.#finished(owner);
    }
  }

  #mayStart(owner: string): boolean {
    const { concurrency, concurrencyPerOwner } = this.#limits;
    return this.#running < concurrency && (this.#runningOf.get(owner) ?? 0) < concurrencyPerOwner;
  }

  #turnOf(owner: string): Promise<void> {
    const { maxWaiting, maxWaitingPerOwner } = this.#limits;
    const ownWaiting = this.#waiting.filter((task) => task.owner === owner).length;
    if (this.#waiting.length >= maxWaiting || ownWaiting >= maxWaitingPerOwner) throw new QueueFull();
    return new Promise((start) => this.#waiting.push({ owner, start }));
  }

  #started(owner: string): void {
    this.#running += 1;
    this.#runningOf.set(owner, (this.#runningOf.get(owner) ?? 0) + 1);
  }

  /** One ends, so at most one may start: whoever waited could not before. */
  #finished(owner: string): void {
    this.#running -= 1;
    const left = (this.#runningOf.get(owner) ?? 1) - 1;
    if (left > 0) this.#runningOf.set(owner, left);
    else this.#runningOf.delete(owner);
    const index = this.#waiting.findIndex((task) => this.#mayStart(task.owner));
    const [next] = index < 0 ? [] : this.#waiting.splice(index, 1);
    if (!next) return;
    this.#started(next.owner);
    next.start();
  }
}
