interface Asked<T> {
  readonly answer: Promise<T>;
  next?: Promise<T>;
}

/**
 * Lets callers who ask the same at the same time share the answer, but never one that was asked for before they came:
 * who comes while a read is under way shares the next one, which is sent when that has ended.
 */
export class SharedReads<T> {
  private readonly asked = new Map<string, Asked<T>>();

  read(key: string, send: () => Promise<T>): Promise<T> {
    const current = this.asked.get(key);
    if (!current) return this.start(key, send);
    const sendNext = () => this.start(key, send);
    current.next ??= current.answer.then(sendNext, sendNext);
    return current.next;
  }

  private start(key: string, send: () => Promise<T>): Promise<T> {
    const asked: Asked<T> = {
      answer: send().finally(() => {
        if (!asked.next) this.asked.delete(key);
      }),
    };
    this.asked.set(key, asked);
    return asked.answer;
  }
}
