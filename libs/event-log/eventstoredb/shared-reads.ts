interface SentRead<T> {
  readonly answer: Promise<T>;
  next?: Promise<T>;
}

/**
 * Lets callers share equal reads. A caller never gets the result of a read that was sent before the caller asked.
 * Callers that ask during a read share the next read. The next read is sent when the current read has ended.
 */
export class SharedReads<T> {
  private readonly sent = new Map<string, SentRead<T>>();

  read(key: string, send: () => Promise<T>): Promise<T> {
    const current = this.sent.get(key);
    if (!current) return this.start(key, send);
    const sendNext = () => this.start(key, send);
    current.next ??= current.answer.then(sendNext, sendNext);
    return current.next;
  }

  private start(key: string, send: () => Promise<T>): Promise<T> {
    const sent: SentRead<T> = {
      answer: send().finally(() => {
        if (!sent.next) this.sent.delete(key);
      }),
    };
    this.sent.set(key, sent);
    return sent.answer;
  }
}
