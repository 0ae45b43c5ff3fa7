import { accessSync, constants, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type Database from 'libsql';
import { retryWhileBusy, SCHEMA_VERSION } from './schema.js';

/** How long the probe waits for a transaction of another process, in ms. Those of this application take far less. */
const BUSY_MS = 1_000;
/** Below this, an append may fail. SQLite writes whole pages, and an append of several events needs some of them. */
const MIN_FREE_BYTES = 65_536;

/**
 * Throws the reason for which an append would fail now. Writes nothing, so that an idle process leaves the disk alone;
 * `isThorough` writes and syncs a page, which shows for certain that appends work again.
 */
export function probeWrite(db: Database.Database, file: string, isThorough: boolean): void {
  accessSync(file, constants.W_OK);
  retryWhileBusy(BUSY_MS, () => db.exec('BEGIN IMMEDIATE'));
  try {
    if (isThorough) db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
  } finally {
    if (db.inTransaction) db.exec('ROLLBACK');
  }
  const { bsize, bavail, bfree } = statfsSync(dirname(file));
  // The last blocks of a file system are often kept for the administrator.
  const freeBlocks = process.getuid?.() === 0 ? bfree : bavail;
  if (freeBlocks * bsize < MIN_FREE_BYTES) throw new Error('its disk is full');
}
