/** The reads of one key that have been sent and not answered yet. */
interface Underway<T> {
  count: number;
  /** The read that was sent last. */
  last: Promise<T>;
  /** When the last read was sent, in ms of the monotonic clock. */
  sentAt: number;
  /** The read for callers that asked after the last read was sent. It has not been sent yet. */
  next?: Promise<T> | undefined;
}

/** Equal reads are sent at least this many milliseconds apart, unless the read before has been answered. */
const SPACING_MS = 4;
/** On a long way to the server, about this many equal reads are underway at once. */
const USUALLY_UNDERWAY = 12;
/** Largest number of equal reads that are underway at once, when the server suddenly becomes slow. */
const MAX_UNDERWAY = 24;

/**
 * Lets callers share equal reads.
 *
 * 1. A caller never gets the result of a read that was sent before the caller asked.
 * 2. Callers that ask while a read is underway share the next read. It is sent when the read has been answered, or a
 *    moment after that read was sent, whichever comes first.
 * 3. So where the server is near, one read is underway at a time. Where it is far away, several are underway, and no
 *    caller waits for the whole round trip of an earlier caller's read. The moment is at least `SPACING_MS`, and grows
 *    with the time that reads take.
 */
export class SharedReads<T> {
  private readonly underway = new Map<string, Underway<T>>();
  /** How long the last answered read took, in ms. */
  private tookMs = 0;

  read(key: string, send: () => Promise<T>): Promise<T> {
    const underway = this.underway.get(key);
    if (!underway) return this.start(key, send);
    underway.next ??= this.untilNext(underway).then(() => this.start(key, send));
    return underway.next;
  }

  private start(key: string, send: () => Promise<T>): Promise<T> {
    const sentAt = performance.now();
    const last = send().finally(() => {
      this.tookMs = performance.now() - sentAt;
      underway.count -= 1;
      if (underway.count === 0 && !underway.next) this.underway.delete(key);
    });
    const underway = this.underway.get(key) ?? { count: 0, last, sentAt };
    Object.assign(underway, { count: underway.count + 1, last, sentAt, next: undefined });
    this.underway.set(key, underway);
    return last;
  }

  /** Resolves when the next read may be sent. */
  private async untilNext({ last, sentAt, count }: Underway<T>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const answered = last.then(
      () => undefined,
      () => undefined,
    );
    const spaced = new Promise<void>((resolve) => {
      if (count >= MAX_UNDERWAY) return;
      const spacingMs = Math.max(SPACING_MS, this.tookMs / USUALLY_UNDERWAY);
      timer = setTimeout(resolve, sentAt + spacingMs - performance.now());
    });
    await Promise.race([answered, spaced]);
    clearTimeout(timer);
  }
}
