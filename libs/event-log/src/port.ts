import type { NewEvent, Position, RecordedEvent, Revision } from '#events';
import type { CallOptions } from './call-options.js';
import type { Moment } from './clocks.js';
import type { LogRestored } from './errors.js';
import type { ExpectedRevision } from './expected-revision.js';
import type { MissingHistory, StreamCut } from './missing-history.js';
import type { OutageObserver } from './retry.js';
import type { SnapshotStore } from './snapshot-store.js';

export interface Appended {
  /** `revision` and `position` are those of the append's last event. */
  readonly revision: Revision;
  readonly position: Position;
}

export interface StreamReadOptions extends CallOptions {
  /**
   * The first revision to read, inclusive. The default is the stream's first revision (backwards: its last revision).
   */
  readonly from?: Revision;
  readonly direction?: 'forwards' | 'backwards';
  readonly limit?: number;
  /**
   * `strong`: the read MUST return every event whose append was acknowledged on any node before the call. Code that
   * makes a decision MUST use `strong`. `any` (default): the result MAY lag behind.
   */
  readonly consistency?: 'strong' | 'any';
  /**
   * A hint: the stream probably does not exist. An adapter that needs a second read to tell a missing stream from a
   * deleted one MAY then begin both reads together.
   */
  readonly isProbablyMissing?: boolean;
}

export interface LogReadOptions extends CallOptions {
  /**
   * The read begins after this position (backwards: before this position). The event at this position is not returned.
   * The default is the log's start (backwards: the log's end).
   */
  readonly after?: Position;
  readonly direction?: 'forwards' | 'backwards';
  readonly limit?: number;
  /** See `StreamReadOptions.consistency`. */
  readonly consistency?: 'strong' | 'any';
}

export interface SubscribeOptions {
  /**
   * The subscription begins after this position. The event at this position is not returned. The default is the log's
   * start.
   */
  readonly after?: Position;
  /** The subscription ends when this signal aborts. */
  readonly signal: AbortSignal;
  /** The largest number of events in a batch (default 500). */
  readonly batchSize?: number;
  /**
   * If `true`, the subscription receives the markers of `EventLog.mark`, and reports by `completeTo` up to which moment
   * it has received all events. Such a subscription MUST read from the leader.
   */
  readonly marked?: boolean;
}

/**
 * A batch of events in the log's order. An event that can't be read is among them, with its error (`unreadable`). A batch
 * MUST NOT be empty, unless it reports something by itself: it carries a `completeTo`, or its `caughtUp` differs from
 * that of the batch before (the subscriber has just caught up, or has fallen behind).
 */
export interface LogBatch {
  readonly events: readonly RecordedEvent[];
  /**
   * Whether the log had no further events when this batch was made, or at most 4 s before. Adapters MUST NOT set it for a
   * subscriber that is too slow and has not received everything.
   */
  readonly caughtUp: boolean;
  /**
   * This batch and the earlier batches contain every event that any node acknowledged before this moment. `completeTo`
   * MUST be proved by a marker (see `EventLog.mark`). Only `marked` subscriptions set `completeTo`.
   */
  readonly completeTo?: Moment;
}

/**
 * The append-only log of all events. The log has two adapters: SQLite (for one machine) and EventStoreDB. Both adapters
 * MUST pass the contract suite `test/contract/event-log.ts`. An adapter MUST NOT throw errors of its driver. An adapter
 * throws only `RevisionConflict`, `EventTooLarge`, `LogUnavailable` (`LogIsSealed`, `LogRefused` and `LogRestored` are
 * subclasses), `HistoryMissing`, `ForeignEvent`, and `TypeError` for a bug in the call, also for an append that the store
 * finds invalid. Whatever else a store refuses is `LogUnavailable`.
 */
export interface EventLog {
  /**
   * A seal is the event that closes a log that is being moved. When this many milliseconds have passed since a seal was
   * acknowledged, the log MUST NOT acknowledge appends to any stream except `log`. Until then, the log may still
   * acknowledge appends.
   */
  readonly sealHoldsAfterMs: number;
  /**
   * Number of times that the connection of the strong reads (reads that are never outdated) was lost. After a loss, the
   * log may be a different one, restored to an older state. So everything that was read before the loss MUST be checked
   * before it is used.
   */
  readonly connectionEpoch: number;
  /**
   * The minimum difference between the clock of this process and the log's clock, in ms, according to the last
   * comparison. The value is 0 if both use the same clock.
   */
  readonly clockSkewMs: number;
  /**
   * How far the clock of this process is behind the latest time that one of the log's last events carries, in ms. The
   * log learns of that time at its opening and at each append. The value is 0 if the log compares `clockSkewMs` instead.
   */
  readonly clockBehindMs: number;
  /** The streams whose events are missing, as far as this process has met them. */
  readonly missingHistory: MissingHistory;
  /**
   * Set while the log lacks events that this process has read or written, because it was restored to an older state, and
   * until an operator has adopted it or it has these events again. All calls throw this error meanwhile, and this process
   * writes nothing. SQLite does not set it: a process whose file was replaced does not use the new file before it is
   * restarted.
   */
  readonly restored: LogRestored | undefined;
  /** Snapshots of this log's streams. */
  readonly snapshots: SnapshotStore;

  /**
   * Appends all events or none. MUST resolve only when the events are synced to disk (or a quorum of servers has them).
   * The same append (same event ids in the same order, same expected revision) MAY be sent again. Every repetition MUST
   * return what the first append returned, even after other appends to the stream. Throws `RevisionConflict` if the
   * stream does not meet the condition `expected`. Throws `EventTooLarge` above `MAX_APPEND_BYTES`. Throws
   * `LogIsSealed` while the log is sealed, except for stream `log`. Throws `HistoryMissing` if events of the stream, or
   * of stream `log`, are known to be missing, and if an append with `none` met a deleted stream.
   */
  append(
    stream: string,
    expected: ExpectedRevision,
    events: readonly NewEvent[],
    options?: CallOptions,
  ): Promise<Appended>;

  /**
   * Resolves if an append could be written now, within 1.5 s. Absent if each strong read proves it: on EventStoreDB they
   * rest on a fence, which is an append. Throws `LogUnwritable`.
   */
  tryWrite?(): Promise<void>;

  /**
   * Reads a stream. Returns `[]` if the stream never existed. Without `limit`, MUST return all events from `from` on.
   * Throws `HistoryMissing` if the events don't begin at `from` or have a gap, or if the stream was deleted.
   */
  readStream(stream: string, options?: StreamReadOptions): Promise<RecordedEvent[]>;

  /**
   * Reads the events of our streams from the whole log. MUST NOT return events of other applications in the same store.
   * An event that can't be read is returned with its error (`unreadable`), so that it does not hide the others.
   * `limit` defaults to 500. The read is slow in a store with many events of other applications, because the read has
   * to skip these events. `eventAt`, `end` and `subscribe` are faster there.
   */
  readAll(options?: LogReadOptions): Promise<RecordedEvent[]>;

  /** Returns the event at exactly this position, by a strong read; `undefined` if no event of our streams is there. */
  eventAt(position: Position): Promise<RecordedEvent | undefined>;

  /**
   * Returns the position of the last event, which may belong to another application; `undefined` if the log has no
   * event. All later appends get larger positions.
   */
  end(): Promise<Position | undefined>;

  /**
   * Yields the events of our streams after `after`, and never ends by itself. The next batch MUST NOT be made before
   * the subscriber asks for the next batch. A subscription that begins at the log's end MUST yield an empty batch with
   * `caughtUp`. A subscription MUST NOT reconnect by itself: it throws `LogUnavailable` when its connection breaks.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<LogBatch>;

  /**
   * Sends a marker through the `marked` subscriptions of this log. A marker is a signal that proves how current a
   * subscription is. Each `marked` subscription that receives the marker MUST yield a batch (possibly empty) whose
   * `completeTo` is the time of this call or a later time. This batch shows that the subscription has received every
   * event that was acknowledged before this call. A marker may get lost. In SQLite, nothing is
   * sent: each subscription reads to the log's end, and the end of this read counts as the marker. In EventStoreDB, this
   * process appends an event, and this event is the marker. Throws `LogUnavailable`.
   */
  mark(): Promise<void>;

  /**
   * Remembers the newest event of the log and all adoptions, so that a later restore is noticed (see `restored`) and a
   * new adoption can be told from an old one. Every process MUST call this when it opens the log, and every few seconds.
   * SQLite has nothing to remember. Throws `LogUnavailable`, `HistoryMissing`.
   */
  rememberNewest(options?: CallOptions): Promise<void>;

  /**
   * Returns the streams of ours that are cut, whether events are missing already or not (see `StreamCut`). SQLite cuts
   * no streams. Throws `LogUnavailable`, and the reason of `signal` when it aborts.
   */
  findCuts(signal?: AbortSignal): Promise<readonly StreamCut[]>;

  /**
   * Keeps `missingHistory.cuts` current until the log is closed: a stream that is cut while this runs MUST be there
   * within a second (if very many are cut, it may only be counted), and one that is not cut any more MUST be gone. If
   * events of a newly cut stream are missing, `missingHistory` knows it, too. `observer` is told while the log can't be
   * searched.
   */
  watchCuts(observer: OutageObserver): Promise<void>;

  close(): Promise<void>;
}

/**
 * The largest size of an append: the number of bytes of its data and metadata as JSON, and two bytes for each letter of
 * its types. EventStoreDB 24.10 counts in the same way and has the same limit. Older versions count the data only; from
 * 25.1 on, the limit is higher.
 */
export const MAX_APPEND_BYTES = 1_048_576;
