export interface QueueLimits {
  /** Maximum number of tasks that run at once. */
  readonly concurrency: number;
  /** Maximum number of tasks that wait for their turn. */
  readonly maxWaiting: number;
  /** Maximum number of one owner's tasks that run at once. */
  readonly concurrencyPerOwner: number;
  /** Maximum number of one owner's tasks that wait. This limit keeps one owner from filling the queue. */
  readonly maxWaitingPerOwner: number;
}

/** Numbers of tasks. */
export interface QueueLoad {
  readonly running: number;
  readonly waiting: number;
  /** Tasks that were refused since the queue was made. */
  readonly refused: number;
}

/** The queue accepts no more tasks at the moment, either from this owner or from any owner. */
export class QueueFull extends Error {
  override readonly name = 'QueueFull';
}

/**
 * Runs a bounded number of asynchronous tasks at once. Starts tasks in the order of their arrival, but skips the tasks
 * of owners that are at their limit.
 */
export class BoundedQueue {
  readonly #limits: QueueLimits;
  readonly #waiting: { owner: string; start: () => void }[] = [];
  readonly #runningOf = new Map<string, number>();
  #running = 0;
  #refused = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get load(): QueueLoad {
    return { running: this.#running, waiting: this.#waiting.length, refused: this.#refused };
  }

  /**
   * Runs the task when its turn has come. Resolves or rejects as the task does. Rejects with `QueueFull` if the queue
   * did not accept the task.
   */
  async run<T>(owner: string, task: () => Promise<T>): Promise<T> {
    if (this.#mayStart(owner)) this.#started(owner);
    else await this.#waitForTurn(owner);
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

  #waitForTurn(owner: string): Promise<void> {
    const { maxWaiting, maxWaitingPerOwner } = this.#limits;
    const ownWaiting = this.#waiting.filter((task) => task.owner === owner).length;
    if (this.#waiting.length >= maxWaiting || ownWaiting >= maxWaitingPerOwner) {
      this.#refused += 1;
      throw new QueueFull();
    }
    return new Promise((start) => this.#waiting.push({ owner, start }));
  }

  #started(owner: string): void {
    this.#running += 1;
    this.#runningOf.set(owner, (this.#runningOf.get(owner) ?? 0) + 1);
  }

  /** Starts the next waiting task. Only one task has ended, so at most one waiting task can start. */
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
