import Database from 'libsql';
import type { SnapshotWrite } from './writer-protocol.js';

/** Milliseconds that a write waits for the transaction of another process. After that, the snapshot is not written. */
const BUSY_MS = 100;

/**
 * The tables are made with the first snapshot, so a file without long streams does not have them. They are no part of
 * the book of record, and may be emptied at any time. `snapshots` and `snapshot_parts` are tables of earlier versions,
 * with other columns.
 */
const SCHEMA = `
  DROP TABLE IF EXISTS snapshots;
  DROP TABLE IF EXISTS snapshot_parts;
  CREATE TABLE IF NOT EXISTS stream_snapshots (
    name    TEXT PRIMARY KEY,
    content TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS stream_snapshot_parts (
    name    TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    content TEXT    NOT NULL,
    PRIMARY KEY (name, number)
  ) STRICT;
`;

/**
 * Writes snapshots on a connection of its own. In the mode `NORMAL`, a commit on this connection is not synced to disk,
 * so a snapshot costs the appends no sync. A crash may lose the latest snapshots.
 */
export class SnapshotWriter {
  private db: Database.Database | undefined;

  constructor(private readonly file: string) {}

  /** Returns the number of the first part, or 0 if the write has no parts. Throws SQLite's errors. */
  write({ name, snapshot, parts }: SnapshotWrite): number {
    this.db ??= this.open();
    const { db } = this;
    return db
      .transaction(() => {
        if (snapshot !== undefined) {
          db.prepare('INSERT OR REPLACE INTO stream_snapshots VALUES (?, ?)').run([name, snapshot]);
        }
        const last = db.prepare('SELECT max(number) FROM stream_snapshot_parts WHERE name = ?').raw();
        const [[highest] = [null]] = last.all([name]) as [number | null][];
        const first = (highest ?? -1) + 1;
        const insert = db.prepare('INSERT INTO stream_snapshot_parts VALUES (?, ?, ?)');
        parts.forEach((content, index) => insert.run([name, first + index, content]));
        return first;
      })
      .immediate();
  }

  close(): void {
    this.db?.close();
  }

  private open(): Database.Database {
    const db = new Database(this.file);
    try {
      db.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
      // The connection that writes the events copies the write-ahead log into the file.
      db.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;');
      db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  }
}
