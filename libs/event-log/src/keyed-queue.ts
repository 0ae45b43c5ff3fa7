/**
 * Runs the work for one key one at a time, in the order of the calls. Work for different keys can run at the same time.
 */
export class KeyedQueue {
  private readonly last = new Map<string, Promise<unknown>>();

  /**
   * Settles when `work` settles, with the same result. If `work` fails, the queue still runs the next work for the key.
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(key) ?? Promise.resolve();
    const running = before.then(work, work);
    this.last.set(key, running);
    try {
      return await running;
    } finally {
      if (this.last.get(key) === running) this.last.delete(key);
    }
  }
}
