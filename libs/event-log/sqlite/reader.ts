import { setImmediate as endOfTurn } from 'node:timers/promises';
import type Database from 'libsql';
import { LRUCache } from 'lru-cache';
import {
  becauseOf,
  FIRST_STREAMS,
  HistoryMissing,
  isOurStream,
  LogDamaged,
  LogUnavailable,
  LONG_AGO,
  momentNow,
  msSince,
  type StreamReadOptions,
  unreadableEvent,
} from '#event-log';
import type { EventMetadata, JsonObject, RecordedEvent } from '#events';
import { LARGEST, toPosition, toSqliteInteger } from './positions.js';
import { type LogRow, RecentRows } from './recent-rows.js';
import { COLUMNS, type Row, type RowPage, Rows } from './rows.js';
import { fileIdentityOf, openForReading, REPLACED } from './schema.js';

/**
 * Number of rows that are read before other work on the event loop gets a turn. 200 rows of common size take half a
 * millisecond.
 */
const PAGE_ROWS = 200;
/**
 * Number of bytes of data and metadata after which other work on the event loop gets a turn, even if fewer than
 * `PAGE_ROWS` rows were read. It takes a few milliseconds to read and parse this many bytes.
 */
const PAGE_BYTES = 256 * 1024;

/**
 * After we have checked which file is at the path, we check again only after this many milliseconds. A check costs as
 * much as a third of a read.
 */
const IDENTIFY_EVERY_MS = 10;

/** Number of streams whose end is remembered. All remembered ends together take some 15 MB. */
const REMEMBERED_ENDS = 100_000;

/** Number of rows at the log's beginning in which a missing beginning of `log` or `signingKeys` is looked for. */
const BEGINNING_ROWS = 1_000;

/** Where a stream ended when it was last read. */
interface StreamEnd {
  /** The file's version (see `Reader.version`) before the stream was read. */
  readonly version: bigint;
  /** The stream had no event with this revision or a later revision. */
  readonly before: bigint;
}

export type Direction = 'forwards' | 'backwards';

/** Where a read begins if the caller names no start: before the first event, or (backwards) after the last event. */
export const startOf = (direction: Direction): bigint => (direction === 'forwards' ? 0n : LARGEST);

export interface LogPage {
  readonly events: RecordedEvent[];
  /**
   * The position after which the next page begins. The event at this position may belong to another application,
   * although such events are not in `events`.
   */
  readonly readTo: bigint;
  /** Whether the log has no further events in this direction. */
  readonly isLast: boolean;
}

export interface LogPageLimits {
  readonly events: number;
  /** Size limit of a page, in bytes of data and metadata. The event that reaches this size is the page's last event. */
  readonly bytes?: number;
  readonly deadlineMs?: number | undefined;
}

/**
 * Reads the file on a separate connection that can't write. A read takes only microseconds, so it runs on the caller's
 * thread. Every read is strong: it returns every event that was acknowledged before, because a commit becomes visible
 * before the commit is acknowledged. All methods throw `LogUnavailable`.
 */
export class Reader {
  private readonly db: Database.Database;
  private readonly streamRows;
  /**
   * This statement is used only with `get()`. In libsql, a `get()` after an `all()` on the same statement returns rows
   * of the old result.
   */
  private readonly anyOfStream;
  private readonly firstPositions;
  private readonly logRows;
  private readonly eventRow;
  private readonly lastRow;
  private readonly dataVersion;
  private preparedSnapshotRows: { newest: Database.Statement; part: Database.Statement } | undefined;
  /** `maxSize` bounds this cache. With `max`, `LRUCache` would allocate its tables in full at once. */
  private readonly ends = new LRUCache<string, StreamEnd>({ maxSize: REMEMBERED_ENDS, sizeCalculation: () => 1 });
  private looking: Promise<bigint> | undefined;
  private readonly recent = new RecentRows();
  private readonly opened: string | undefined;
  private identifiedAt = LONG_AGO;
  private isClosed = false;

  /** Opens the file, which must exist. */
  constructor(private readonly file: string) {
    this.opened = fileIdentityOf(file);
    this.db = openForReading(file);
    this.streamRows = {
      forwards: new Rows(this.db, { where: 'stream = ? AND revision >= ?', orderBy: 'revision', descending: false }),
      backwards: new Rows(this.db, { where: 'stream = ? AND revision <= ?', orderBy: 'revision', descending: true }),
    };
    this.anyOfStream = this.db.prepare('SELECT 1 FROM events WHERE stream = ? AND revision >= ? LIMIT 1').raw();
    const first = `SELECT position FROM events ORDER BY position LIMIT ${BEGINNING_ROWS}`;
    this.firstPositions = this.db.prepare(`SELECT count(*), max(position) FROM (${first})`).raw();
    this.logRows = {
      forwards: new Rows(this.db, { where: 'position > ?', orderBy: 'position', descending: false }),
      backwards: new Rows(this.db, { where: 'position < ?', orderBy: 'position', descending: true }),
    };
    this.eventRow = this.db.prepare(`SELECT ${COLUMNS} FROM events WHERE position = ?`).raw();
    this.lastRow = this.db.prepare('SELECT position FROM events ORDER BY position DESC LIMIT 1').raw();
    this.dataVersion = this.db.prepare('PRAGMA data_version').raw();
  }

  readStream(stream: string, options: StreamReadOptions = {}): Promise<RecordedEvent[]> {
    const { from, direction = 'forwards' } = options;
    if (from === undefined || direction === 'backwards') return this.readEach(stream, options);
    return this.nextVersion().then((version) =>
      this.endedBefore(stream, toSqliteInteger(from), version) ? [] : this.readEach(stream, options),
    );
  }

  private async readEach(stream: string, options: StreamReadOptions): Promise<RecordedEvent[]> {
    const { direction = 'forwards', limit = Infinity, deadlineMs } = options;
    const givenUpAt = performance.now() + (deadlineMs ?? Infinity);
    const events: RecordedEvent[] = [];
    let from = toSqliteInteger(options.from ?? startOf(direction));
    for (;;) {
      const asked = Math.min(PAGE_ROWS, limit - events.length);
      const { rows, isLast } = this.ask(() => this.streamRows[direction].read([stream, from], asked, PAGE_BYTES));
      for (const row of rows) events.push(toEvent(row));
      const last = rows.at(-1);
      if (!last || isLast || events.length === limit) return events;
      from = direction === 'forwards' ? last[2] + 1n : last[2] - 1n;
      await yieldToOthers(givenUpAt);
    }
  }

  /** Reads the events of our streams after a position (backwards: before it). */
  async readLog(after: bigint, direction: Direction, limits: LogPageLimits): Promise<LogPage> {
    const givenUpAt = performance.now() + (limits.deadlineMs ?? Infinity);
    const events: RecordedEvent[] = [];
    let readTo = after;
    let bytes = 0;
    for (;;) {
      const asked = Math.min(PAGE_ROWS, limits.events - events.length);
      const { rows, isLast } = this.rowsOfLog(readTo, direction, asked, (limits.bytes ?? Infinity) - bytes);
      for (const row of rows) {
        readTo = row.position;
        bytes += row.bytes;
        if (row.event) events.push(row.event);
      }
      const isFull = events.length >= limits.events || bytes >= (limits.bytes ?? Infinity);
      if (isFull || isLast) return { events, readTo, isLast: isLast && !isFull };
      await yieldToOthers(givenUpAt);
    }
  }

  /**
   * Whether the stream had no event with revision `from` or later, at this version of the file. Most reads find nothing
   * new. So we remember where streams end. A remembered end stays true until somebody commits, and the file's version
   * shows for all streams at once whether somebody has committed.
   */
  private endedBefore(stream: string, from: bigint, version: bigint): boolean {
    const end = this.ends.get(stream);
    if (end?.version === version && end.before <= from) return true;
    if (this.has(this.anyOfStream, [stream, from, 1])) return false;
    this.ends.set(stream, { version, before: from });
    return true;
  }

  /**
   * Returns the file's version. The version is read after this call. All callers in one turn of the event loop share
   * one read of the version.
   */
  private nextVersion(): Promise<bigint> {
    this.looking ??= endOfTurn().then(() => {
      this.looking = undefined;
      return this.version();
    });
    return this.looking;
  }

  /**
   * Throws `HistoryMissing` if this stream, of which no event was found, belongs to the beginning of every log, and
   * rows are missing there. The writer gives positions without gaps, so a gap shows that rows were deleted.
   */
  requireBeginning(stream: string): void {
    if (!(FIRST_STREAMS as readonly string[]).includes(stream)) return;
    const [found] = this.all<[rows: bigint, last: bigint | null]>(this.firstPositions, []);
    if (found && found[0] !== (found[1] ?? 0n)) throw new HistoryMissing(stream, `all events of ${stream} are missing`);
  }

  /** Returns the event at exactly this position; `undefined` if no event of our streams is there. */
  eventAt(position: bigint): RecordedEvent | undefined {
    const [row] = this.all<Row>(this.eventRow, [position]);
    return row && isOurStream(row[1]) ? toLogEvent(row) : undefined;
  }

  /** Returns the position of the log's last event, which may belong to another application. */
  lastPosition(): bigint | undefined {
    return this.all<[bigint]>(this.lastRow, [])[0]?.[0];
  }

  /** Returns the newest snapshot of this name. */
  snapshot(name: string): string | undefined {
    return this.ask(() => this.snapshotRows?.newest.all([name]) as [string][] | undefined)?.[0]?.[0];
  }

  /** Returns the part of this name that has this number. */
  snapshotPart(name: string, number: number): string | undefined {
    return this.ask(() => this.snapshotRows?.part.all([name, number]) as [string][] | undefined)?.[0]?.[0];
  }

  /** `undefined` if the file has no tables of snapshots yet. The first snapshot makes them. Throws SQLite's errors. */
  private get snapshotRows() {
    if (this.preparedSnapshotRows) return this.preparedSnapshotRows;
    const tables = this.db.prepare("SELECT name FROM sqlite_schema WHERE name = 'stream_snapshot_parts'").raw();
    if (tables.all([]).length === 0) return undefined;
    this.preparedSnapshotRows = {
      newest: this.db.prepare('SELECT content FROM stream_snapshots WHERE name = ?').raw(),
      part: this.db.prepare('SELECT content FROM stream_snapshot_parts WHERE name = ? AND number = ?').raw(),
    };
    return this.preparedSnapshotRows;
  }

  /** Returns at most `limit` rows: recent rows that are still in memory, or else one page of the file. */
  private rowsOfLog(after: bigint, direction: Direction, limit: number, bytes: number): RowPage<LogRow> {
    const known = direction === 'forwards' ? firstBytesOf(this.recent.after(after, limit), bytes) : [];
    if (known.length > 0) return { rows: known, isLast: false };
    const page = this.ask(() => this.logRows[direction].read([after], limit, Math.min(bytes, PAGE_BYTES)));
    const rows = page.rows.map(toLogRow);
    // A damaged row may be repaired, so it is read again each time.
    const isSound = rows.every(({ event }) => !event?.unreadable);
    if (direction === 'forwards' && isSound) this.recent.add(after, rows, page.isLast);
    return { rows, isLast: page.isLast };
  }

  /**
   * Returns a number that changes whenever another connection has committed. The other connection may belong to this
   * process or to another process.
   */
  version(): bigint {
    return this.ask(() => this.dataVersion.get([]) as [bigint])[0];
  }

  close(): void {
    this.isClosed = true;
    this.db.close();
  }

  /**
   * After a restore, a new file lies at the path, and other processes write to the new file. So this process MUST NOT
   * read the old file any more.
   */
  private requireSameFile(): void {
    if (msSince(this.identifiedAt) < IDENTIFY_EVERY_MS) return;
    const now = momentNow();
    if (fileIdentityOf(this.file) !== this.opened) throw new LogUnavailable(`The event log can't be read: ${REPLACED}`);
    this.identifiedAt = now;
  }

  private all<R>(statement: Database.Statement, parameters: unknown[]): R[] {
    return this.ask(() => statement.all(parameters) as R[]);
  }

  private has(statement: Database.Statement, parameters: unknown[]): boolean {
    return this.ask(() => statement.get(parameters)) !== undefined;
  }

  private ask<Answer>(query: () => Answer): Answer {
    if (this.isClosed) throw new LogUnavailable('The event log is closed');
    this.requireSameFile();
    try {
      return query();
    } catch (cause) {
      const LogError = isDamage(cause) ? LogDamaged : LogUnavailable;
      throw new LogError(...becauseOf("The event log can't be read", cause));
    }
  }
}

/** Whether SQLite found that a page of the file is not what it must be. */
const isDamage = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && String(cause.code).startsWith('SQLITE_CORRUPT');

const toEvent = ([position, stream, revision, eventId, type, data, metadata]: Row): RecordedEvent => ({
  eventId,
  type,
  data: parsed(data, stream, revision) as JsonObject,
  metadata: parsed(metadata, stream, revision) as EventMetadata,
  stream,
  revision,
  position: toPosition(position),
});

/** Converts a row for a read of the whole log, which does not fail because of one damaged row. */
function toLogEvent(row: Row): RecordedEvent {
  try {
    return toEvent(row);
  } catch (error) {
    if (!(error instanceof LogUnavailable)) throw error;
    const [position, stream, revision, eventId, type] = row;
    return unreadableEvent({ eventId, type, stream, revision, position: toPosition(position) }, error);
  }
}

/** Parses a stored value. The parser's own error is dropped, because its message contains a part of the event's data. */
function parsed(json: string, stream: string, revision: bigint): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new LogDamaged(`Revision ${revision} of ${stream} is damaged in the file`);
  }
}

const toLogRow = (row: Row): LogRow => ({
  position: row[0],
  event: isOurStream(row[1]) ? toLogEvent(row) : undefined,
  bytes: Buffer.byteLength(row[5]) + Buffer.byteLength(row[6]),
});

/** Returns the first rows, up to and including the row that reaches this number of bytes. */
function firstBytesOf(rows: readonly LogRow[], bytes: number): readonly LogRow[] {
  let sum = 0;
  const reaching = rows.findIndex((row) => (sum += row.bytes) >= bytes);
  return reaching === -1 ? rows : rows.slice(0, reaching + 1);
}

async function yieldToOthers(givenUpAt: number): Promise<void> {
  if (performance.now() > givenUpAt) throw new LogUnavailable('The event log was not read within the deadline');
  await endOfTurn();
}
