import {
  type Appended,
  type CallOptions,
  type EventLog,
  type ExpectedRevision,
  type LogBatch,
  type LogReadOptions,
  type StreamReadOptions,
  type SubscribeOptions,
  LogIsSealed,
  LogUnavailable,
  RevisionConflict,
  serialiseAppend,
} from '#event-log';
import type { NewEvent, Position, RecordedEvent } from '#events';
import { Changes } from './changes.js';
import { fromPosition, toPosition } from './positions.js';
import { type Direction, Reader, startOf } from './reader.js';
import { Writer } from './writer.js';

export { NotAnEventLog } from './schema.js';

export interface SqliteEventLogOptions {
  /** Made where it is missing; its folder must exist. `-wal` and `-shm` files lie beside it while it is open. */
  readonly file: string;
  /** Milliseconds an append may take where the call doesn't say (default 10,000). */
  readonly deadlineMs?: number;
}

/**
 * The event log in an SQLite file, which several processes of one machine may open at once. An append is acknowledged
 * when it is synced to disk; appends that arrive together share a transaction and its sync, on a thread of their own.
 * The process lives until the log is closed. Throws `NotAnEventLog`, `LogUnavailable`.
 */
export async function openSqliteEventLog({ file, deadlineMs = 10_000 }: SqliteEventLogOptions): Promise<EventLog> {
  const writer = await Writer.open({ file, busyMs: deadlineMs });
  try {
    return new SqliteEventLog(writer, new Reader(file), deadlineMs);
  } catch (cause) {
    await writer.close();
    throw new LogUnavailable(`${file} can't be read`, { cause });
  }
}

const DEFAULT_READ_LIMIT = 500;
const DEFAULT_BATCH_SIZE = 500;
/** A batch ends here whatever `batchSize` says, since an event may hold a megabyte. */
const MAX_BATCH_CHARACTERS = 4 * 1_048_576;

class SqliteEventLog implements EventLog {
  /** The transaction that writes looks for the seal. */
  readonly sealHoldsAfterMs = 0;
  /** A file that is replaced while it is open is unavailable for good. */
  readonly interruptions = 0;
  /** One machine has one clock. */
  readonly clockSkewMs = 0;
  private readonly changes: Changes;
  private marks = 0;

  constructor(
    private readonly writer: Writer,
    private readonly reader: Reader,
    private readonly deadlineMs: number,
  ) {
    this.changes = new Changes(reader);
  }

  async append(
    stream: string,
    expected: ExpectedRevision,
    newEvents: readonly NewEvent[],
    { deadlineMs = this.deadlineMs }: CallOptions = {},
  ): Promise<Appended> {
    const { events, bytes } = serialiseAppend(stream, expected, newEvents);
    const patienceMs = Math.min(deadlineMs, this.deadlineMs);
    const outcome = await this.writer.append({ stream, expected, events }, bytes, patienceMs);
    if (outcome.kind === 'sealed') throw new LogIsSealed();
    if (outcome.kind === 'conflict') throw new RevisionConflict(stream, expected, outcome.actual);
    if (outcome.kind === 'written') this.changes.wakeAll();
    return { revision: outcome.revision, position: toPosition(outcome.position) };
  }

  readStream(stream: string, options?: StreamReadOptions): Promise<RecordedEvent[]> {
    return this.reader.readStream(stream, options);
  }

  async readAll({ after, direction = 'forwards', limit, deadlineMs }: LogReadOptions = {}): Promise<RecordedEvent[]> {
    const limits = { events: limit ?? DEFAULT_READ_LIMIT, deadlineMs };
    return (await this.reader.readLog(placeOf(after, direction), direction, limits)).events;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is the promise's
  async eventAt(position: Position): Promise<RecordedEvent | undefined> {
    return this.reader.eventAt(fromPosition(position));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is the promise's
  async end(): Promise<Position | undefined> {
    const last = this.reader.lastPosition();
    return last === undefined ? undefined : toPosition(last);
  }

  async *subscribe(options: SubscribeOptions): AsyncGenerator<LogBatch> {
    const { after, signal, batchSize = DEFAULT_BATCH_SIZE, marked = false } = options;
    const limits = { events: batchSize, characters: MAX_BATCH_CHARACTERS };
    let readTo = placeOf(after, 'forwards');
    let saidCaughtUp = false;
    for (;;) {
      const { marks } = this;
      const beganAt = performance.now();
      const version = this.reader.version();
      const page = await this.reader.readLog(readTo, 'forwards', limits);
      if (signal.aborted) return;
      readTo = page.readTo;
      if (page.events.length > 0 || (page.isLast && (marked || !saidCaughtUp))) {
        const completeTo = marked && page.isLast && { completeTo: beganAt };
        yield { events: page.events, caughtUp: page.isLast, ...completeTo };
        saidCaughtUp = page.isLast;
      }
      // A marker sent since the read began is not answered by it.
      if (page.isLast && marks === this.marks) await this.changes.since(version, signal);
    }
  }

  mark(): Promise<void> {
    this.marks += 1;
    this.changes.wakeAll();
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.writer.close();
    this.reader.close();
    this.changes.wakeAll();
  }
}

const placeOf = (after: Position | undefined, direction: Direction): bigint =>
  after === undefined ? startOf(direction) : fromPosition(after);
