import type Database from 'libsql';
import type { SerialisedEvent } from '#event-log';
import type { Revision } from '#events';
import { reasonOf } from '../src/sqlite-files.js';
import { isSealedBy, LOG_STREAM } from '../src/streams.js';
import { COMPARED_EVENTS } from './latest-event-time.js';
import { retryWhileBusy } from './schema.js';
import type { AppendOutcome, AppendRequest, EventTime } from './writer-protocol.js';

/** One append of a group failed, although the group's transaction was open. */
class AppendFailed extends Error {
  constructor(
    readonly append: AppendRequest,
    cause: unknown,
  ) {
    super(reasonOf(cause), { cause });
  }
}

/** Stands for the revision of a stream that has no events. */
const EMPTY_STREAM = -1n;

/**
 * Commits a group of appends in one transaction with one disk sync. Each append is still checked against the revision
 * that the append expects.
 */
export class GroupCommit {
  private readonly statements;
  /** The position of the log's last event. The value is valid only during a transaction. */
  private position = 0n;
  /** Whether the log is sealed (closed because it is being moved). The value is valid only during a transaction. */
  private isSealed = false;
  /** The times of all events up to this position were read, or the events are this thread's own. */
  private knownTo: bigint;
  /** The times that were read and not yet taken. */
  private eventTimes: EventTime[] = [];

  constructor(
    private readonly db: Database.Database,
    private readonly busyMs: number,
  ) {
    this.statements = {
      position: db.prepare('SELECT max(position) FROM events').raw(),
      revision: db.prepare('SELECT max(revision) FROM events WHERE stream = ?').raw(),
      lastType: db.prepare('SELECT type FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 1').raw(),
      // This statement reads the whole stream. Only appends that expect 'exists' run this statement. An index would
      // speed the statement up, but would slow every append down.
      revisionsOfEvent: db.prepare('SELECT revision FROM events WHERE stream = ? AND event_id = ?').raw(),
      eventsFrom: db
        .prepare('SELECT event_id, position FROM events WHERE stream = ? AND revision >= ? ORDER BY revision LIMIT ?')
        .raw(),
      // An event with the same time as the event before it in its stream tells nothing about the writer's clock: its
      // time may have been raised to that of the other.
      eventTimes: db
        .prepare(
          `SELECT position, metadata ->> '$.occurredAt' AS time FROM events
           WHERE position > ? AND json_valid(metadata) AND time IS NOT (
             SELECT before.metadata ->> '$.occurredAt' FROM events AS before
             WHERE before.stream = events.stream AND before.revision = events.revision - 1
               AND json_valid(before.metadata)
           ) ORDER BY position`,
        )
        .raw(),
      insert: db.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)'),
    };
    this.knownTo = 0n;
    this.readEventTimes(this.lastPosition());
  }

  /**
   * Writes the group. When this method returns, the group is synced to disk. An append that fails by itself gets the
   * outcome `failed`, and the other appends of the group are written without it. Throws SQLite's errors if the
   * transaction fails. Then nothing of the group was written.
   */
  commit(appends: readonly AppendRequest[]): AppendOutcome[] {
    const failed = new Map<AppendRequest, AppendOutcome>();
    for (;;) {
      const tried = appends.filter((append) => !failed.has(append));
      try {
        const written = this.transact(tried)[Symbol.iterator]();
        return appends.flatMap((append) => failed.get(append) ?? written.next().value ?? []);
      } catch (error) {
        if (!(error instanceof AppendFailed)) throw error;
        failed.set(error.append, { kind: 'failed', reason: error.message });
      }
    }
  }

  /** Returns the times of events of other processes that were read since the last call. */
  takeEventTimes(): EventTime[] {
    return this.eventTimes.splice(0);
  }

  /**
   * Writes the appends in one transaction. Throws `AppendFailed` at the first append that fails by itself, and otherwise
   * SQLite's errors. After an error, nothing was written.
   */
  private transact(appends: readonly AppendRequest[]): AppendOutcome[] {
    if (appends.length === 0) return [];
    retryWhileBusy(this.busyMs, () => this.db.exec('BEGIN IMMEDIATE'));
    try {
      this.position = this.lastPosition();
      if (this.position !== this.knownTo) this.readEventTimes(this.position);
      this.isSealed = this.endsSealed();
      const outcomes = appends.map((append) => this.appendOrName(append));
      this.db.exec('COMMIT');
      this.knownTo = this.position;
      return outcomes;
    } catch (error) {
      // When the disk is full, SQLite may already have rolled the transaction back by itself.
      if (this.db.inTransaction) this.db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Appends. Throws `AppendFailed`, which names the append. */
  private appendOrName(append: AppendRequest): AppendOutcome {
    try {
      return this.appendUnlessSealed(append);
    } catch (cause) {
      throw new AppendFailed(append, cause);
    }
  }

  private appendUnlessSealed(append: AppendRequest): AppendOutcome {
    if (append.stream !== LOG_STREAM) return this.isSealed ? { kind: 'sealed' } : this.append(append);
    const outcome = this.append(append);
    this.isSealed = this.endsSealed();
    return outcome;
  }

  private append({ stream, expected, events }: AppendRequest): AppendOutcome {
    const revision = this.lastRevision(stream);
    const conflict = { kind: 'conflict', actual: revision === EMPTY_STREAM ? undefined : revision } as const;
    if (expected === 'exists') {
      if (revision === EMPTY_STREAM) return conflict;
      const starts = this.revisionsOfFirst(stream, events);
      if (starts.length === 0) return this.write(stream, revision, events);
      return starts.map((start) => this.repeated(stream, start, events)).find((outcome) => outcome) ?? conflict;
    }
    const expectedRevision = expected === 'none' ? EMPTY_STREAM : expected;
    if (expectedRevision === revision) return this.write(stream, revision, events);
    if (expectedRevision > revision) return conflict;
    return this.repeated(stream, expectedRevision + 1n, events) ?? conflict;
  }

  private write(stream: string, after: Revision, events: readonly SerialisedEvent[]): AppendOutcome {
    let revision = after;
    for (const { eventId, type, data, metadata } of events) {
      this.statements.insert.run([++this.position, stream, ++revision, eventId, type, data, metadata]);
    }
    return { kind: 'written', revision, position: this.position };
  }

  /**
   * Returns the outcome of an earlier append, if that append stored exactly these events from revision `start` on.
   * Otherwise returns `undefined`.
   */
  private repeated(stream: string, start: Revision, events: readonly SerialisedEvent[]): AppendOutcome | undefined {
    const stored = this.statements.eventsFrom.all([stream, start, events.length]) as [string, bigint][];
    const last = stored.at(-1);
    if (!last || !events.every(({ eventId }, index) => stored[index]?.[0] === eventId)) return undefined;
    return { kind: 'repeated', revision: start + BigInt(events.length) - 1n, position: last[1] };
  }

  /** Reads the times of the last events that other processes have written. */
  private readEventTimes(lastPosition: bigint): void {
    const oldest = lastPosition - COMPARED_EVENTS;
    const rows = this.statements.eventTimes.all([oldest < this.knownTo ? this.knownTo : oldest]);
    for (const [position, time] of rows as [bigint, string][])
      this.eventTimes.push({ position, time: Date.parse(time) });
    this.knownTo = lastPosition;
  }

  private lastPosition(): bigint {
    const [row] = this.statements.position.all([]) as [bigint | null][];
    return row?.[0] ?? 0n;
  }

  private endsSealed(): boolean {
    const [row] = this.statements.lastType.all([LOG_STREAM]) as [string][];
    return isSealedBy(row?.[0]);
  }

  private lastRevision(stream: string): Revision {
    const [row] = this.statements.revision.all([stream]) as [bigint | null][];
    return row?.[0] ?? EMPTY_STREAM;
  }

  private revisionsOfFirst(stream: string, [first]: readonly SerialisedEvent[]): Revision[] {
    if (!first) return [];
    const rows = this.statements.revisionsOfEvent.all([stream, first.eventId]) as [bigint][];
    return rows.map(([revision]) => revision);
  }
}
