import {
  type Appended,
  becauseOf,
  type CallOptions,
  type EventLog,
  type ExpectedRevision,
  type LogBatch,
  LogIsSealed,
  type LogReadOptions,
  LogUnavailable,
  MissingHistory,
  momentNow,
  RevisionConflict,
  serialiseAppend,
  type StreamReadOptions,
  type SubscribeOptions,
} from '#event-log';
import type { NewEvent, Position, RecordedEvent } from '#events';
import { Changes } from './changes.js';
import { LatestEventTime } from './latest-event-time.js';
import { fromPosition, toPosition } from './positions.js';
import { type Direction, Reader, startOf } from './reader.js';
import { NotAnEventLog } from './schema.js';
import { SqliteSnapshots } from './snapshots.js';
import { Writer } from './writer.js';

export { NotAnEventLog } from './schema.js';

export interface SqliteEventLogOptions {
  /**
   * The path of the file. A missing file is created, but its folder must exist. While the log is open, SQLite keeps a
   * `-wal` file and a `-shm` file in the same folder.
   */
  readonly file: string;
  /**
   * The longest deadline that an append can have, in milliseconds (default 10,000). An append that names no deadline
   * gets this deadline.
   */
  readonly deadlineMs?: number;
  /**
   * Whether another thread of this process has the same file open, with the same `changeCounter` (default false). Then
   * this log saves memory and processor time: it starts the thread that writes only at the first append, and looks at
   * the file only when the counter says so. The file must exist, and `clockBehindMs` is 0 until the first append.
   */
  readonly isSecondary?: boolean;
  /**
   * Four bytes that the logs of several threads on one file share. The log that is not secondary raises this counter when
   * the file has grown, and looks at the file for that all the time.
   */
  readonly changeCounter?: SharedArrayBuffer | undefined;
}

/**
 * Opens the event log in an SQLite file. Several processes on one machine may use the file at once. An append is
 * acknowledged when its events are synced to disk. Appends that arrive together share a transaction and its sync. A
 * separate thread writes the appends, and keeps the process alive until the log is closed. Throws `NotAnEventLog`,
 * `LogUnavailable`.
 */
export async function openSqliteEventLog({
  file,
  deadlineMs = 10_000,
  isSecondary = false,
  changeCounter,
}: SqliteEventLogOptions): Promise<EventLog> {
  const latestTime = new LatestEventTime();
  const options = { file, busyMs: deadlineMs };
  const writer = isSecondary ? new Writer(options, latestTime) : await Writer.open(options, latestTime);
  try {
    const reader = new Reader(file);
    const counter = new Int32Array(changeCounter ?? new SharedArrayBuffer(4));
    const changes = new Changes(reader, counter, isSecondary ? 'secondary' : changeCounter ? 'first' : 'only');
    return new SqliteEventLog({ writer, reader, changes, latestTime, deadlineMs });
  } catch (cause) {
    await writer.close();
    if (cause instanceof NotAnEventLog) throw cause;
    throw new LogUnavailable(...becauseOf(`${file} can't be read`, cause));
  }
}

const DEFAULT_READ_LIMIT = 500;
const DEFAULT_BATCH_SIZE = 500;
/**
 * Largest size of a batch, in bytes of data and metadata. A batch ends at this size even if `batchSize` allows more
 * events, since one event may hold a megabyte.
 */
const MAX_BATCH_BYTES = 4 * 1_048_576;

interface SqliteEventLogParts {
  readonly writer: Writer;
  readonly reader: Reader;
  readonly changes: Changes;
  readonly latestTime: LatestEventTime;
  readonly deadlineMs: number;
}

class SqliteEventLog implements EventLog {
  /** The value is 0, because the same transaction that writes also checks whether the log is sealed. */
  readonly sealHoldsAfterMs = 0;
  /** The value is always 0: if the file is replaced, the log stays unavailable and never reads the new file. */
  readonly connectionEpoch = 0;
  /** The value is always 0, because all processes are on one machine and share its clock. */
  readonly clockSkewMs = 0;
  readonly missingHistory = new MissingHistory();
  readonly restored = undefined;
  readonly snapshots: SqliteSnapshots;
  private readonly writer: Writer;
  private readonly reader: Reader;
  private readonly changes: Changes;
  private readonly latestTime: LatestEventTime;
  private readonly deadlineMs: number;
  private marks = 0;

  constructor({ writer, reader, changes, latestTime, deadlineMs }: SqliteEventLogParts) {
    this.writer = writer;
    this.reader = reader;
    this.changes = changes;
    this.latestTime = latestTime;
    this.deadlineMs = deadlineMs;
    this.snapshots = new SqliteSnapshots(writer, reader);
  }

  get clockBehindMs(): number {
    return this.latestTime.clockBehindMs();
  }

  async append(
    stream: string,
    expected: ExpectedRevision,
    newEvents: readonly NewEvent[],
    { deadlineMs = this.deadlineMs }: CallOptions = {},
  ): Promise<Appended> {
    const { events, bytes } = serialiseAppend(stream, expected, newEvents);
    this.missingHistory.requireWhole(stream);
    const withinMs = Math.min(deadlineMs, this.deadlineMs);
    const outcome = await this.writer.append({ stream, expected, events }, bytes, withinMs);
    if (outcome.kind === 'sealed') throw new LogIsSealed();
    if (outcome.kind === 'conflict') throw new RevisionConflict(stream, expected, outcome.actual);
    if (outcome.kind === 'failed') throw new LogUnavailable(`The event log can't be written: ${outcome.reason}`);
    if (outcome.kind === 'written') {
      this.changes.appended();
      // The events' own time may be raised to that of an event that another clock has dated.
      this.latestTime.note({ position: outcome.position, time: Date.now() });
    }
    return { revision: outcome.revision, position: toPosition(outcome.position) };
  }

  tryWrite(): Promise<void> {
    return this.writer.probe();
  }

  readStream(stream: string, options: StreamReadOptions = {}): Promise<RecordedEvent[]> {
    return this.missingHistory.reading(stream, options, async () => {
      const events = await this.reader.readStream(stream, options);
      if (events.length === 0 && (options.from ?? 0n) === 0n) this.reader.requireBeginning(stream);
      return events;
    });
  }

  async readAll({ after, direction = 'forwards', limit, deadlineMs }: LogReadOptions = {}): Promise<RecordedEvent[]> {
    const limits = { events: limit ?? DEFAULT_READ_LIMIT, deadlineMs };
    return (await this.reader.readLog(placeOf(after, direction), direction, limits)).events;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the promise must reject with what is thrown here
  async eventAt(position: Position): Promise<RecordedEvent | undefined> {
    return this.reader.eventAt(fromPosition(position));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the promise must reject with what is thrown here
  async end(): Promise<Position | undefined> {
    const last = this.reader.lastPosition();
    return last === undefined ? undefined : toPosition(last);
  }

  async *subscribe(options: SubscribeOptions): AsyncGenerator<LogBatch> {
    const { after, signal, batchSize = DEFAULT_BATCH_SIZE, marked = false } = options;
    const limits = { events: batchSize, bytes: MAX_BATCH_BYTES };
    let readTo = placeOf(after, 'forwards');
    let saidCaughtUp = false;
    for (;;) {
      const { marks } = this;
      const beganAt = momentNow();
      const version = this.reader.version();
      const page = await this.reader.readLog(readTo, 'forwards', limits);
      if (signal.aborted) return;
      readTo = page.readTo;
      if (page.events.length > 0 || (page.isLast && (marked || !saidCaughtUp))) {
        const completeTo = marked && page.isLast && { completeTo: beganAt };
        yield { events: page.events, caughtUp: page.isLast, ...completeTo };
        saidCaughtUp = page.isLast;
      }
      // A call of `mark` changes `marks`. If `mark` was called after this read began, this read may lack events that
      // were acknowledged before the call, and its `completeTo` is earlier than the call. So we read again at once.
      if (page.isLast && marks === this.marks) await this.changes.since(version, signal);
    }
  }

  mark(): Promise<void> {
    this.marks += 1;
    this.changes.wakeAll();
    return Promise.resolve();
  }

  rememberNewest(): Promise<void> {
    return Promise.resolve();
  }

  findCuts(): Promise<[]> {
    return Promise.resolve([]);
  }

  watchCuts(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.writer.close();
    this.changes.close();
    this.reader.close();
  }
}

const placeOf = (after: Position | undefined, direction: Direction): bigint =>
  after === undefined ? startOf(direction) : fromPosition(after);
