import type { SerialisedEvent } from '#event-log';
import type { Revision } from '#events';
import type Database from 'libsql';
import { LOG_STREAM, isSealedBy } from '../src/streams.js';
import { whileBusy } from './schema.js';
import type { AppendOutcome, AppendRequest } from './writer-protocol.js';

/** What a stream without events is "at". */
const NO_REVISION = -1n;

/** Appends groups, each in one transaction with one sync, in which every append keeps its own expected revision. */
export class GroupCommit {
  private readonly statements;
  /** The log's last position, within a transaction. */
  private position = 0n;
  /** Whether the log is sealed, within a transaction. */
  private isSealed = false;

  constructor(
    private readonly db: Database.Database,
    private readonly busyMs: number,
  ) {
    this.statements = {
      position: db.prepare('SELECT max(position) FROM events').raw(),
      revision: db.prepare('SELECT max(revision) FROM events WHERE stream = ?').raw(),
      lastType: db.prepare('SELECT type FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 1').raw(),
      // Goes through the stream: only 'exists' asks, and an index would tax every append for it.
      revisionsOfEvent: db.prepare('SELECT revision FROM events WHERE stream = ? AND event_id = ?').raw(),
      eventsFrom: db
        .prepare('SELECT event_id, position FROM events WHERE stream = ? AND revision >= ? ORDER BY revision LIMIT ?')
        .raw(),
      insert: db.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)'),
    };
  }

  /** Returned means synced. Throws what SQLite throws, and then nothing was written. */
  commit(appends: readonly AppendRequest[]): AppendOutcome[] {
    whileBusy(this.busyMs, () => this.db.exec('BEGIN IMMEDIATE'));
    try {
      this.position = this.lastPosition();
      this.isSealed = this.endsSealed();
      const outcomes = appends.map((append) => this.appendUnlessSealed(append));
      this.db.exec('COMMIT');
      return outcomes;
    } catch (error) {
      // A full disk may have rolled it back already.
      if (this.db.inTransaction) this.db.exec('ROLLBACK');
      throw error;
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
    const conflict = { kind: 'conflict', actual: revision === NO_REVISION ? undefined : revision } as const;
    if (expected === 'exists') {
      if (revision === NO_REVISION) return conflict;
      const starts = this.revisionsOfFirst(stream, events);
      if (starts.length === 0) return this.write(stream, revision, events);
      return starts.map((start) => this.repeated(stream, start, events)).find((outcome) => outcome) ?? conflict;
    }
    const expectedRevision = expected === 'none' ? NO_REVISION : expected;
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

  /** The first answer once more, where these very events stand in the stream from `start` on. */
  private repeated(stream: string, start: Revision, events: readonly SerialisedEvent[]): AppendOutcome | undefined {
    const stored = this.statements.eventsFrom.all([stream, start, events.length]) as [string, bigint][];
    const last = stored.at(-1);
    if (!last || !events.every(({ eventId }, index) => stored[index]?.[0] === eventId)) return undefined;
    return { kind: 'repeated', revision: start + BigInt(events.length) - 1n, position: last[1] };
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
    return row?.[0] ?? NO_REVISION;
  }

  private revisionsOfFirst(stream: string, [first]: readonly SerialisedEvent[]): Revision[] {
    if (!first) return [];
    const rows = this.statements.revisionsOfEvent.all([stream, first.eventId]) as [bigint][];
    return rows.map(([revision]) => revision);
  }
}
