import { setImmediate as endOfTurn } from 'node:timers/promises';
import { type StreamReadOptions, LogUnavailable, isOurStream } from '#event-log';
import type { EventMetadata, JsonObject, RecordedEvent } from '#events';
import type Database from 'libsql';
import { LRUCache } from 'lru-cache';
import { PAST_ALL, toPosition, within } from './positions.js';
import { type LogRow, RecentRows } from './recent-rows.js';
import { REPLACED, fileIdentityOf, openForReading } from './schema.js';

/** What is read without letting others have their turn: half a millisecond of common events. */
const PAGE_ROWS = 200;

/** A look costs as much as a third of a read. */
const IDENTIFY_EVERY_MS = 10;

/** Some 15 MB when there are as many. */
const REMEMBERED_ENDS = 100_000;

/** Where a stream was seen to end. */
interface StreamEnd {
  /** Of the file, looked at before the stream was. */
  readonly version: bigint;
  /** There was no event of this revision or a later one. */
  readonly before: bigint;
}

const COLUMNS = 'position, stream, revision, event_id, type, data, metadata';
type Row = [
  position: bigint,
  stream: string,
  revision: bigint,
  eventId: string,
  type: string,
  data: string,
  metadata: string,
];

export type Direction = 'forwards' | 'backwards';

/** Before the first or past the last event: where a read without a place to begin at begins. */
export const startOf = (direction: Direction): bigint => (direction === 'forwards' ? 0n : PAST_ALL);

export interface LogPage {
  readonly events: RecordedEvent[];
  /** Position to go on after; other applications' events move it too. */
  readonly readTo: bigint;
  /** Nothing was left in this direction. */
  readonly isLast: boolean;
}

export interface LogPageLimits {
  readonly events: number;
  /** Of data and metadata: the event that reaches it is the page's last. */
  readonly characters?: number;
  readonly deadlineMs?: number | undefined;
}

/**
 * Reads on a connection of its own that can't write. A read costs microseconds, so it happens on the caller's thread;
 * a commit is seen from before its acknowledgement on, so every read is a strong one. All throw `LogUnavailable`.
 */
export class Reader {
  private readonly db: Database.Database;
  private readonly streamRows;
  /** Apart: libsql's `get()` on a statement that `all()` was called on goes on with that former execution. */
  private readonly anyOfStream;
  private readonly logRows;
  private readonly dataVersion;
  /** Bounded by size, not by `max`, which would take its tables at once. */
  private readonly ends = new LRUCache<string, StreamEnd>({ maxSize: REMEMBERED_ENDS, sizeCalculation: () => 1 });
  private looking: Promise<bigint> | undefined;
  private readonly recent = new RecentRows();
  private readonly opened: string | undefined;
  private identifiedAt = -Infinity;
  private isClosed = false;

  /** The file must be there. */
  constructor(private readonly file: string) {
    this.opened = fileIdentityOf(file);
    this.db = openForReading(file);
    const select = (rest: string) => this.db.prepare(`SELECT ${COLUMNS} FROM events ${rest} LIMIT ?`).raw();
    this.streamRows = {
      forwards: select('WHERE stream = ? AND revision >= ? ORDER BY revision'),
      backwards: select('WHERE stream = ? AND revision <= ? ORDER BY revision DESC'),
    };
    this.anyOfStream = select('WHERE stream = ? AND revision >= ? ORDER BY revision');
    this.logRows = {
      forwards: select('WHERE position > ? ORDER BY position'),
      backwards: select('WHERE position < ? ORDER BY position DESC'),
    };
    this.dataVersion = this.db.prepare('PRAGMA data_version').raw();
  }

  readStream(stream: string, options: StreamReadOptions = {}): Promise<RecordedEvent[]> {
    const { from, direction = 'forwards' } = options;
    if (from === undefined || direction === 'backwards') return this.readEach(stream, options);
    return this.nextVersion().then((version) =>
      this.endedBefore(stream, within(from), version) ? [] : this.readEach(stream, options),
    );
  }

  private async readEach(stream: string, options: StreamReadOptions): Promise<RecordedEvent[]> {
    const { direction = 'forwards', limit = Infinity, deadlineMs } = options;
    const givenUpAt = performance.now() + (deadlineMs ?? Infinity);
    const events: RecordedEvent[] = [];
    let from = within(options.from ?? startOf(direction));
    for (;;) {
      const asked = Math.min(PAGE_ROWS, limit - events.length);
      const rows = this.all<Row>(this.streamRows[direction], [stream, from, asked]);
      for (const row of rows) events.push(toEvent(row));
      const last = rows.at(-1);
      if (!last || rows.length < asked || events.length === limit) return events;
      from = direction === 'forwards' ? last[2] + 1n : last[2] - 1n;
      await othersTurn(givenUpAt);
    }
  }

  /** Our events after (backwards: before) a position. */
  async readLog(after: bigint, direction: Direction, limits: LogPageLimits): Promise<LogPage> {
    const givenUpAt = performance.now() + (limits.deadlineMs ?? Infinity);
    const events: RecordedEvent[] = [];
    let readTo = after;
    let characters = 0;
    for (let asked = Math.min(PAGE_ROWS, limits.events); ; asked = PAGE_ROWS) {
      const rows = this.rowsOfLog(readTo, direction, asked);
      for (const row of rows) {
        readTo = row.position;
        if (!row.event) continue;
        events.push(row.event);
        characters += row.characters;
        if (events.length >= limits.events || characters >= (limits.characters ?? Infinity)) {
          return { events, readTo, isLast: false };
        }
      }
      if (rows.length === 0 || rows.length < asked) return { events, readTo, isLast: true };
      await othersTurn(givenUpAt);
    }
  }

  /**
   * Whether the stream had no event from there on at this version of the file. Who reads on mostly finds nothing new;
   * what was seen of a stream's end holds for as long as nobody commits, which one look tells for all streams.
   */
  private endedBefore(stream: string, from: bigint, version: bigint): boolean {
    const end = this.ends.get(stream);
    if (end?.version === version && end.before <= from) return true;
    if (this.has(this.anyOfStream, [stream, from, 1])) return false;
    this.ends.set(stream, { version, before: from });
    return true;
  }

  /** By a look that begins after the call: shared by all who ask in one turn of the event loop, and by nobody later. */
  private nextVersion(): Promise<bigint> {
    this.looking ??= endOfTurn().then(() => {
      this.looking = undefined;
      return this.version();
    });
    return this.looking;
  }

  /** Our event at this very position. */
  eventAt(position: bigint): RecordedEvent | undefined {
    const [row] = this.all<Row>(this.logRows.forwards, [position - 1n, 1]).map(toLogRow);
    return row?.position === position ? row.event : undefined;
  }

  /** Of the log's last event, be it ours or another application's. */
  lastPosition(): bigint | undefined {
    return this.all<Row>(this.logRows.backwards, [PAST_ALL, 1])[0]?.[0];
  }

  private rowsOfLog(after: bigint, direction: Direction, limit: number): readonly LogRow[] {
    if (direction === 'backwards') return this.all<Row>(this.logRows.backwards, [after, limit]).map(toLogRow);
    const known = this.recent.after(after, limit);
    if (known.length === limit) return known;
    const readTo = known.at(-1)?.position ?? after;
    const asked = limit - known.length;
    const rows = this.all<Row>(this.logRows.forwards, [readTo, asked]).map(toLogRow);
    this.recent.add(readTo, rows, rows.length < asked);
    return [...known, ...rows];
  }

  /** Another number whenever another connection, of this process or another, has committed. */
  version(): bigint {
    return this.ask(() => this.dataVersion.get([]) as [bigint])[0];
  }

  close(): void {
    this.isClosed = true;
    this.db.close();
  }

  /** Others write to the file at the path: what is read from one that was there before says nothing of now. */
  private requireSameFile(): void {
    const now = performance.now();
    if (now - this.identifiedAt < IDENTIFY_EVERY_MS) return;
    if (fileIdentityOf(this.file) !== this.opened) throw new LogUnavailable(REPLACED);
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
      throw new LogUnavailable("The event log can't be read", { cause });
    }
  }
}

const toEvent = ([position, stream, revision, eventId, type, data, metadata]: Row): RecordedEvent => ({
  eventId,
  type,
  data: JSON.parse(data) as JsonObject,
  metadata: JSON.parse(metadata) as EventMetadata,
  stream,
  revision,
  position: toPosition(position),
});

const toLogRow = (row: Row): LogRow => ({
  position: row[0],
  event: isOurStream(row[1]) ? toEvent(row) : undefined,
  characters: row[5].length + row[6].length,
});

async function othersTurn(givenUpAt: number): Promise<void> {
  if (performance.now() > givenUpAt) throw new LogUnavailable('The event log was not read within the deadline');
  await endOfTurn();
}
