import type { RecordedEvent, Revision } from '#events';
import { HistoryMissing } from './errors.js';
import { LOG_STREAM } from './streams.js';

/** Number of streams that are remembered. More streams are found again when they are read again. */
export const MAX_REMEMBERED_STREAMS = 1_000;

/**
 * A stream of ours from which the store cuts events, now or when it grows or gets older. The events may still be there
 * for a while, but reads of the stream don't return them.
 */
export interface StreamCut {
  readonly stream: string;
  /** The predicate of a sentence about the stream, e.g. `has $maxCount 1` or `was tombstoned`. */
  readonly how: string;
}

/** The part of a stream that a read asks for. See `StreamReadOptions`. */
interface ReadRange {
  readonly from?: Revision;
  readonly direction?: 'forwards' | 'backwards';
  readonly limit?: number;
}

/**
 * The streams of a log whose events are missing, as far as this process has met them. A stream of ours begins with
 * revision 0 and has no gaps. If a read shows otherwise, somebody has cut the stream or deleted it.
 */
export class MissingHistory {
  private readonly errors = new Map<string, HistoryMissing>();
  /**
   * Streams that are cut, at most `MAX_REMEMBERED_STREAMS` of those that `EventLog.watchCuts` has found. Events of some
   * may not be missing yet.
   */
  cuts: readonly StreamCut[] = [];
  /** Number of all streams that are cut. */
  cutCount = 0;

  /** What is missing, one error for each stream. */
  get all(): readonly HistoryMissing[] {
    return [...this.errors.values()];
  }

  /** What is missing, except in these streams. */
  except(streams: Pick<ReadonlySet<string>, 'has'>): readonly HistoryMissing[] {
    return this.all.filter(({ stream }) => !streams.has(stream));
  }

  /** Throws `HistoryMissing` if events of this stream, or of the stream about the log itself, are missing. */
  requireWhole(stream: string): void {
    if (this.errors.size === 0) return;
    const error = this.errors.get(stream) ?? this.errors.get(LOG_STREAM);
    if (error) throw error;
  }

  /** Remembers what `call` finds to be missing. Throws what `call` throws. */
  async noting<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      this.noteIfMissing(error);
      throw error;
    }
  }

  /** Returns the events of a read. Throws `HistoryMissing` if the read lacks events. */
  async reading(stream: string, options: ReadRange, read: () => Promise<RecordedEvent[]>): Promise<RecordedEvent[]> {
    try {
      const events = await read();
      if (events.length === 0) return events;
      requireNoGap(stream, options, events);
      if (this.errors.size > 0) this.forgetIfFound(stream, events);
      return events;
    } catch (error) {
      this.noteIfMissing(error);
      throw error;
    }
  }

  note(error: HistoryMissing): void {
    if (this.errors.size < MAX_REMEMBERED_STREAMS) this.errors.set(error.stream, error);
  }

  forget(stream: string): void {
    this.errors.delete(stream);
  }

  /** Forgets what is missing, because the log was restored to an older state. It is found again when it is read. */
  forgetAll(): void {
    this.errors.clear();
  }

  private noteIfMissing(error: unknown): void {
    if (error instanceof HistoryMissing) this.note(error);
  }

  private forgetIfFound(stream: string, events: readonly RecordedEvent[]): void {
    const missing = this.errors.get(stream)?.first;
    if (missing !== undefined && events.some(({ revision }) => revision === missing)) this.forget(stream);
  }
}

/** Throws `HistoryMissing` if the events don't follow each other, or if the stream's first events are missing. */
function requireNoGap(
  stream: string,
  { from, direction = 'forwards', limit = Infinity }: ReadRange,
  events: readonly RecordedEvent[],
): void {
  const isForwards = direction === 'forwards';
  let next = isForwards ? (from ?? 0n) : events[0]?.revision;
  for (const { revision } of events) {
    if (next !== undefined && revision !== next) {
      throw isForwards ? eventsMissing(stream, next, revision - 1n) : eventsMissing(stream, revision + 1n, next);
    }
    next = isForwards ? revision + 1n : revision - 1n;
  }
  if (!isForwards && events.length < limit && next !== undefined && next >= 0n) throw eventsMissing(stream, 0n, next);
}

/** Returns the error for missing events. `first` and `last` are their revisions. */
export const eventsMissing = (stream: string, first: Revision, last: Revision): HistoryMissing => {
  const which = first === last ? `event ${first}` : `events ${first} to ${last}`;
  return new HistoryMissing(stream, `${which} of ${stream} ${first === last ? 'is' : 'are'} missing`, first);
};
