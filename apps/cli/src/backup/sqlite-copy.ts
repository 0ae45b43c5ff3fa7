import { pathToFileURL } from 'node:url';
import Database from 'libsql';

/**
 * Copies an SQLite file to `target`, which must be empty or missing. The copy is the file at one moment, whatever
 * processes write to it meanwhile. It has one file, without a `-wal` file. Nothing is synced to disk. Decision 26 says
 * why this is not SQLite's backup API.
 */
export function copySqlite(file: string, target: string): void {
  withReader(file, (db) => {
    db.prepare('VACUUM INTO ?').run([target]);
  });
}

/** Checks the whole file with SQLite's `integrity_check`. Throws an error that says what is wrong with the file. */
export function requireIntact(file: string): void {
  const found = withReader(file, (db) => db.prepare('PRAGMA integrity_check').raw().all([]) as [string][]);
  const [fault] = found.flat().filter((line) => line !== 'ok');
  if (fault !== undefined) throw new Error(`${file} is damaged: ${fault}`);
}

/** Makes the file complete without its `-wal` file. No process may have it open. */
export function emptyWal(file: string): void {
  const db = new Database(file);
  try {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    db.close();
  }
}

function withReader<T>(file: string, use: (db: Database.Database) => T): T {
  const db = new Database(`${pathToFileURL(file).href}?mode=ro`);
  try {
    return use(db);
  } finally {
    db.close();
  }
}
