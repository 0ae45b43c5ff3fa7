import { realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'libsql';

/** This number in the file's header marks the file as an event log: "cclg" in ASCII. */
const APPLICATION_ID = 0x63636c67;
export const SCHEMA_VERSION = 1;

/**
 * Number of pages that the write-ahead log (WAL) holds before a checkpoint: 16 MiB. With SQLite's default of 4 MiB, the
 * throughput is a quarter lower.
 */
const PAGES_BETWEEN_CHECKPOINTS = 4000;

// The writer assigns the positions. So positions rise without gaps, and SQLite need not write a second table for a
// counter.
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY,
    stream   TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    event_id TEXT    NOT NULL,
    type     TEXT    NOT NULL,
    data     TEXT    NOT NULL,
    metadata TEXT    NOT NULL,
    UNIQUE (stream, revision)
  ) STRICT;
  CREATE TRIGGER IF NOT EXISTS events_are_never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
  CREATE TRIGGER IF NOT EXISTS events_are_never_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Thrown if the file belongs to another application, was written by a newer version of this application, or is no longer
 * whole.
 */
export class NotAnEventLog extends Error {
  override readonly name = 'NotAnEventLog';
}

/**
 * Opens the only connection that writes. Every commit on this connection is synced to disk. A missing file is created.
 * Each attempt opens a new connection: a connection that failed to change the journal mode keeps a lock, and other
 * processes that open the file would wait for this lock.
 */
export const openForWriting = (file: string, busyMs: number): Database.Database =>
  retryWhileBusy(busyMs, () => {
    refuseLostFile(file);
    const db = new Database(file);
    try {
      prepare(db, file);
      return db.defaultSafeIntegers();
    } catch (error) {
      db.close();
      throw error;
    }
  });

function prepare(db: Database.Database, file: string): void {
  const isEmpty = isEmptyFile(db, file);
  const [[mode] = []] = db.prepare('PRAGMA journal_mode = WAL').raw().all([]) as [string][];
  if (mode !== 'wal') throw new Error(`${file} can't have a write-ahead log where it lies`);
  db.exec('PRAGMA synchronous = FULL');
  db.exec(`PRAGMA wal_autocheckpoint = ${PAGES_BETWEEN_CHECKPOINTS}`);
  if (isEmpty) db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
}

/** Opens a connection that can't write, and therefore never syncs. The connection returns integers as bigints. */
export function openForReading(file: string): Database.Database {
  refuseLostFile(file);
  return new Database(`${pathToFileURL(resolve(file)).href}?mode=ro`).defaultSafeIntegers();
}

/**
 * Throws `NotAnEventLog` if the file is missing or empty beside a write-ahead log with content, which holds the latest
 * events: on opening the file, even for reading, SQLite would delete the write-ahead log. SQLite writes to the file
 * first, so no new log looks like this, if the write-ahead log is looked at first.
 */
function refuseLostFile(file: string): void {
  const hasEvents = sizeOf(`${realPathOf(file)}-wal`) > 0;
  if (hasEvents && sizeOf(file) === 0) {
    throw new NotAnEventLog(`${file} is missing or empty, but its write-ahead log holds events; ${RESTORE}`);
  }
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** SQLite follows symbolic links, and keeps the write-ahead log beside the file that they lead to. */
function realPathOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

/** Why no read and no append succeeds any more once the file was replaced. */
export const REPLACED = 'its file was replaced or removed; a restart is needed';

/**
 * Returns the identity of the file at the path; `undefined` if no file is there. The identity changes when a different
 * file is put at the path, for example by a restore.
 */
export function fileIdentityOf(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}

/**
 * Repeats `step` while another process holds the lock. The pause between two attempts is 1 ms. SQLite's own pauses are
 * longer, so beside a busy writer SQLite would never get the lock.
 */
export function retryWhileBusy<T>(busyMs: number, step: () => T): T {
  const givenUpAt = performance.now() + busyMs;
  for (;;) {
    try {
      return step();
    } catch (error) {
      if (!isBusy(error) || performance.now() > givenUpAt) throw error;
      Atomics.wait(neverWoken, 0, 0, 1);
    }
  }
}

const neverWoken = new Int32Array(new SharedArrayBuffer(4));

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);
const isBusy = (error: unknown): boolean => String(codeOf(error)).startsWith('SQLITE_BUSY');

function isEmptyFile(db: Database.Database, file: string): boolean {
  const [applicationId, version, objects] = identityOf(db, file);
  if (applicationId === 0 && version === 0 && objects === 0) return true;
  if (applicationId !== APPLICATION_ID) throw new NotAnEventLog(`${file} belongs to another application`);
  if (version !== SCHEMA_VERSION) throw new NotAnEventLog(`${file} has schema ${version}, not ${SCHEMA_VERSION}`);
  return false;
}

/** The file may be the only copy of the book of record, so nothing is done with it. */
const RESTORE = 'it is left as it is: restore the event log from a backup, or correct DATA_DIR';

type Identity = [applicationId: number, version: number, objects: number];

function identityOf(db: Database.Database, file: string): Identity {
  try {
    const [identity] = db
      .prepare(
        `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_application_id, pragma_user_version`,
      )
      .raw()
      .all([]) as [Identity];
    return identity;
  } catch (error) {
    const code = String(codeOf(error));
    if (code.startsWith('SQLITE_NOTADB')) throw new NotAnEventLog(`${file} is not a database; ${RESTORE}`);
    if (code.startsWith('SQLITE_CORRUPT')) throw new NotAnEventLog(`${file} is damaged; ${RESTORE}`);
    throw error;
  }
}
