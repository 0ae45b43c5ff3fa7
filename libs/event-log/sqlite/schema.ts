import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'libsql';

/** Says whose file it is: "cclg" in ASCII. */
const APPLICATION_ID = 0x63636c67;
const SCHEMA_VERSION = 1;

/** 16 MiB of WAL between checkpoints: SQLite's own 4 MiB costs a quarter of the throughput. */
const PAGES_BETWEEN_CHECKPOINTS = 4000;

// Positions are given by the writer, so that they rise without gaps and no second table is written to.
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

/** The file belongs to another application, or to a newer version of this one. */
export class NotAnEventLog extends Error {
  override readonly name = 'NotAnEventLog';
}

/**
 * The one connection that writes: every commit is synced to disk. Makes the file where there is none. Each attempt has
 * a connection of its own: one whose change of the journal mode was refused keeps a lock that another opener waits for.
 */
export const openForWriting = (file: string, busyMs: number): Database.Database =>
  whileBusy(busyMs, () => {
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

/** A connection that can't write, and so never syncs; bigints for integers. */
export const openForReading = (file: string): Database.Database =>
  new Database(`${pathToFileURL(resolve(file)).href}?mode=ro`).defaultSafeIntegers();

/** Why neither reads nor appends are answered once the file is not the one that was opened. */
export const REPLACED = 'The event log’s file was replaced or removed; a restart is needed';

/** Another one once the path leads to another file, as after a restore; `undefined` where there is none. */
export function fileIdentityOf(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}

/** Repeats `step` until no other process is in the way; SQLite's own waits are too coarse to get a turn beside a busy writer. */
export function whileBusy<T>(busyMs: number, step: () => T): T {
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
    if (codeOf(error) === 'SQLITE_NOTADB') throw new NotAnEventLog(`${file} is not a database`);
    throw error;
  }
}
