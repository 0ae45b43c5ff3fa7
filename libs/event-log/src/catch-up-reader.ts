import type { Position } from '#events';
import type { EventLog, LogBatch, SubscribeOptions } from './port.js';
import { pause } from './retry.js';

/** Number of batches that are kept for the followers that are behind the fastest follower of a pass. */
const MOST_BATCHES = 4;
/** How long the fastest follower of a pass waits for the slowest one, or for others to join, in ms. */
const LONGEST_WAIT_MS = 1_000;

/**
 * Reads the log for several followers (loops that read the log) that catch up at the same time. Followers that are at the
 * same place share one pass through the log, and get the same batches. So each event is read and parsed only once.
 *
 * A pass ends at the end of the log. It keeps few batches, so its memory does not depend on the length of the log: a
 * follower that falls behind leaves the pass. A follower without a pass reads the log by itself.
 */
export class CatchUpReader {
  private readonly passes = new Set<Pass>();

  /**
   * `followers`: how many followers usually begin at the same time. The first one waits a moment for the others.
   * `longestWaitMs`: the longest wait for another follower (default 1000).
   */
  constructor(
    private readonly log: EventLog,
    private readonly followers: number,
    private readonly longestWaitMs = LONGEST_WAIT_MS,
  ) {}

  /** Like `EventLog.subscribe`. `marked` is not supported. */
  async *subscribe(options: Omit<SubscribeOptions, 'marked'>): AsyncGenerator<LogBatch> {
    const { signal } = options;
    const pass = this.passAt(options);
    const place = pass.join(options.after);
    try {
      for (;;) {
        const batch = await untilAborted(pass.next(place), signal);
        if (signal.aborted) return;
        if (!batch) break;
        yield batch;
        if (batch.caughtUp) break;
      }
    } finally {
      if (pass.leave(place)) this.passes.delete(pass);
    }
    const { after } = place;
    yield* this.log.subscribe({ ...options, ...(after !== undefined && { after }) });
  }

  /** Returns a pass that has a batch for a follower at this place; a new one if there is none. */
  private passAt({ after, batchSize }: Omit<SubscribeOptions, 'marked'>): Pass {
    for (const pass of this.passes) if (pass.batchSize === batchSize && pass.isOpenAt(after)) return pass;
    const pass = new Pass(this.log, this.followers, this.longestWaitMs, after, batchSize);
    this.passes.add(pass);
    return pass;
  }
}

/** Where a follower is in its pass. */
interface Place {
  /** Position of the last event that the follower has got; `undefined` at the log's start. */
  after: Position | undefined;
  /** The number of the batch that the follower gets next. */
  next: number;
}

/** One subscription to the log, from its beginning to the log's end. */
class Pass {
  private readonly ending = new AbortController();
  private readonly connectionEpoch: number;
  private readonly source: AsyncIterator<LogBatch>;
  private readonly places = new Set<Place>();
  private joined = 0;
  /** The newest batches. */
  private readonly kept: LogBatch[] = [];
  /** Number of the first batch in `kept`. */
  private firstKept = 0;
  /** Positions after which the batches in `kept` begin, and the next batch after them. */
  private readonly starts: (Position | undefined)[];
  private fetching: Promise<void> | undefined;
  private waiting: AbortController | undefined;
  private isOver = false;

  constructor(
    private readonly log: EventLog,
    private readonly followers: number,
    private readonly longestWaitMs: number,
    after: Position | undefined,
    readonly batchSize: number | undefined,
  ) {
    this.connectionEpoch = log.connectionEpoch;
    this.starts = [after];
    const options = { ...(after !== undefined && { after }), ...(batchSize !== undefined && { batchSize }) };
    this.source = log.subscribe({ ...options, signal: this.ending.signal })[Symbol.asyncIterator]();
  }

  /** Whether a follower at this position can join. After a lost connection, the log may be an older one, restored. */
  isOpenAt(after: Position | undefined): boolean {
    return !this.isOver && this.log.connectionEpoch === this.connectionEpoch && this.starts.includes(after);
  }

  join(after: Position | undefined): Place {
    const place = { after, next: this.firstKept + this.starts.indexOf(after) };
    this.places.add(place);
    this.joined += 1;
    this.wake();
    return place;
  }

  /** Returns whether no follower is left. */
  leave(place: Place): boolean {
    this.places.delete(place);
    this.wake();
    if (this.places.size > 0) return false;
    this.ending.abort();
    void this.source.return?.();
    return true;
  }

  /** Returns the next batch; `undefined` if the pass has none for this follower. Throws what the subscription throws. */
  async next(place: Place): Promise<LogBatch | undefined> {
    if (place.next === this.firstKept + this.kept.length) await (this.fetching ??= this.fetch());
    const batch = this.kept[place.next - this.firstKept];
    if (!batch) return undefined;
    place.next += 1;
    place.after = batch.events.at(-1)?.position ?? place.after;
    this.wake();
    return batch;
  }

  private async fetch(): Promise<void> {
    try {
      if (this.isOver) return;
      if (this.kept.length === MOST_BATCHES) {
        if (this.isOldestNeeded()) await pause(this.longestWaitMs, (this.waiting = new AbortController()).signal);
        this.kept.shift();
        this.starts.shift();
        this.firstKept += 1;
      }
      const result = await this.source.next();
      this.isOver = result.done === true || result.value.caughtUp;
      if (result.done === true) return;
      const batch = result.value;
      this.kept.push(batch);
      this.starts.push(batch.events.at(-1)?.position ?? this.starts.at(-1));
    } catch (error) {
      this.isOver = true;
      throw error;
    } finally {
      this.fetching = undefined;
    }
  }

  /** Lets the fastest follower go on if no other one needs the oldest batch. */
  private wake(): void {
    if (!this.isOldestNeeded()) this.waiting?.abort();
  }

  private isOldestNeeded(): boolean {
    const isBeginning = this.firstKept === 0 && this.joined < this.followers;
    return isBeginning || [...this.places].some(({ next }) => next === this.firstKept);
  }
}

/** Resolves as the promise does; resolves to `undefined` as soon as the signal aborts. */
async function untilAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value | undefined> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    stop = () => {
      resolve(undefined);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
