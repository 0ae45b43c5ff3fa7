/** Lets those who ask for the same key go one after another, within this process, in the order in which they came. */
export class Turns {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Resolves and rejects as `work` does; a failed turn does not stop those behind it. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(key) ?? Promise.resolve();
    const turn = before.then(work, work);
    this.last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.last.get(key) === turn) this.last.delete(key);
    }
  }
}
