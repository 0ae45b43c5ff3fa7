import type { NewEvent, Position, RecordedEvent, Revision } from '#events';

/**
 * What must be true of the stream for an append to happen: it has no event, it has some, or this is its last revision.
 * There is no way to append without saying it.
 */
export type ExpectedRevision = 'none' | 'exists' | Revision;

export interface Appended {
  /** Revision and position of the last event of the append. */
  readonly revision: Revision;
  readonly position: Position;
}

export interface CallOptions {
  /**
   * Milliseconds until the call is given up with `LogUnavailable`; an append that was given up may have been written.
   * An append is given up after the log's own deadline at the latest.
   */
  readonly deadlineMs?: number;
}

export interface StreamReadOptions extends CallOptions {
  /** First revision to read, inclusive; absent: the stream's first (forwards) or last (backwards). */
  readonly from?: Revision;
  readonly direction?: 'forwards' | 'backwards';
  readonly limit?: number;
  /**
   * `strong`: sees every append that was acknowledged on any node before the call; what decides must ask
   * for it. `any` (default): may lag behind.
   */
  readonly consistency?: 'strong' | 'any';
}

export interface LogReadOptions extends CallOptions {
  /** Exclusive in both directions; absent: the log's start (forwards) or end (backwards). */
  readonly after?: Position;
  readonly direction?: 'forwards' | 'backwards';
  readonly limit?: number;
  /** As of a stream's read. */
  readonly consistency?: 'strong' | 'any';
}

export interface SubscribeOptions {
  /** Exclusive; absent: from the log's start. */
  readonly after?: Position;
  /** Ends the subscription. */
  readonly signal: AbortSignal;
  /** Events a batch holds at most (default 500). */
  readonly batchSize?: number;
  /** Batches say how current they are (`completeTo`), whenever `EventLog.mark` asks. Such a subscription follows the leader. */
  readonly marked?: boolean;
}

/** What a subscription yields: events in the log's order, never an empty batch but for what the other members say. */
export interface LogBatch {
  readonly events: readonly RecordedEvent[];
  /** Nothing was left to read when this batch was made. */
  readonly caughtUp: boolean;
  /**
   * A moment of the monotonic clock (`performance.now()`): every event that was acknowledged before it, on any node, is
   * in this batch or was in one before. It never says more than a marker has proved; only where `marked` was asked for.
   */
  readonly completeTo?: number;
}

/**
 * The append-only log of all events. Two adapters: SQLite (one machine) and EventStoreDB. Both pass the same contract
 * suite (`test/contract/event-log.ts`). Above the port only `RevisionConflict`, `LogUnavailable` (`LogIsSealed` among
 * them) and `EventTooLarge` are seen, never a driver's errors.
 */
export interface EventLog {
  /** Milliseconds after the acknowledgement of a seal from which on no append to another stream is acknowledged. */
  readonly sealHoldsAfterMs: number;
  /**
   * How often the way of its strong reads was broken since it was opened: each time the log may have come back as
   * another, restored.
   */
  readonly interruptions: number;
  /**
   * Milliseconds by which this process's wall clock and the log's are apart at least, as they were last compared; 0
   * where they are one.
   */
  readonly clockSkewMs: number;

  /**
   * Appends all events or none, durably: resolved means synced to disk (or to a quorum). The very same append (same
   * event ids in the same order, same expected revision) may be sent again and answers as the first one did, also
   * after others wrote behind it.
   * Throws `RevisionConflict` when the expectation is wrong, `EventTooLarge` at 1 MiB an append, and `LogIsSealed` for
   * every stream but `log` while the log is sealed.
   */
  append(
    stream: string,
    expected: ExpectedRevision,
    events: readonly NewEvent[],
    options?: CallOptions,
  ): Promise<Appended>;

  /** A missing stream is an empty one. Without `limit` all that there is. */
  readStream(stream: string, options?: StreamReadOptions): Promise<RecordedEvent[]>;

  /**
   * Our streams only, whatever else lives in the same store. `limit` defaults to 500. It looks through what
   * other applications have written there, so what may lie far behind is asked for by `eventAt`, `end` and `subscribe`.
   */
  readAll(options?: LogReadOptions): Promise<RecordedEvent[]>;

  /** Our event at this very position; `undefined` where there is none. A strong read, of one event. */
  eventAt(position: Position): Promise<RecordedEvent | undefined>;

  /** The place behind which only what comes from now on is found, whoever wrote before it; `undefined` when it is empty. */
  end(): Promise<Position | undefined>;

  /**
   * Follows the log: pull-based, one batch at a time, from `after` on without end; our streams only. Yields an empty
   * `caughtUp` batch when it begins at the end. Reconnecting is the caller's: throws `LogUnavailable` when broken.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<LogBatch>;

  /**
   * Sends a marker through the `marked` subscriptions of this log: unless it gets lost, each yields a batch, be it
   * empty, whose `completeTo` is not before this call. SQLite: a finished read to the end; EventStoreDB: an append of
   * this process that came back. Throws `LogUnavailable`.
   */
  mark(): Promise<void>;

  close(): Promise<void>;
}

/** The largest sum of an append's data and metadata, in bytes of JSON (EventStoreDB's own limit). */
export const MAX_APPEND_BYTES = 1_048_576;
