import { pathToFileURL } from 'node:url';
import Database from 'libsql';
import { becauseOf } from '#event-log';

/**
 * Copies an SQLite file to `target`, which must be empty or missing. The copy is the file at one moment, whatever
 * processes write to it meanwhile. It has one file, without a `-wal` file. Nothing is synced to disk. Decision 26 says
 * why this is not SQLite's backup API.
 */
export function copySqlite(file: string, target: string): void {
  withDatabase(readOnly(file), `${file} can't be copied to ${target}`, (db) => {
    db.prepare('VACUUM INTO ?').run([target]);
  });
}

/** Checks the whole file with SQLite's `integrity_check`. Throws an error if the file is damaged. */
export function requireIntact(file: string): void {
  const check = (db: Database.Database) => db.prepare('PRAGMA integrity_check').raw().all([]) as [string][];
  const found = withDatabase(readOnly(file), `${file} can't be checked`, check);
  if (found.flat().some((line) => line !== 'ok')) throw new Error(`${file} is damaged`);
}

/** Makes the file complete without its `-wal` file. No process may have it open. */
export function emptyWal(file: string): void {
  withDatabase(file, `${file} can't be completed`, (db) => {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  });
}

const readOnly = (file: string): string => `${pathToFileURL(file).href}?mode=ro`;

/** Throws an error that says why `what` happened, if SQLite can't open or use the file. */
function withDatabase<T>(file: string, what: string, use: (db: Database.Database) => T): T {
  let db: Database.Database | undefined;
  try {
    db = new Database(file);
    return use(db);
  } catch (error) {
    throw new Error(...becauseOf(what, error));
  } finally {
    db?.close();
  }
}
