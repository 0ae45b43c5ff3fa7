import { existsSync, renameSync, statSync } from 'node:fs';
import { SQLITE_SIDE_FILES } from '#event-log';
import { Connection } from './connection.js';
import { isForeign } from './layout.js';

/** Up to this size, every page of the file is looked at, which takes a fraction of a second. */
const MAX_CHECKED_BYTES = 32 * 1_048_576;
const BUSY_MS = 1_000;

/**
 * Says why a file is of no use as read store: it is no database, is damaged, or belongs to another program. Returns
 * `undefined` for a read store of ours, also of another version, and for a missing or empty file.
 */
function damageOf(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  let connection: Connection | undefined;
  try {
    connection = new Connection(file, BUSY_MS);
    if (isForeign(connection)) return 'belongs to another program';
    if (statSync(file).size > MAX_CHECKED_BYTES) return undefined;
    const [found] = connection.all<{ quick_check: string }>('PRAGMA quick_check(1)');
    return found?.quick_check === 'ok' ? undefined : 'is damaged';
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code.startsWith('SQLITE_NOTADB')) return 'is not a database';
    return code.startsWith('SQLITE_CORRUPT') ? 'is damaged' : undefined;
  } finally {
    connection?.close();
  }
}

/**
 * Renames a file that is of no use as read store, so that a new one can take its place: everything in it is a fold of
 * the event log. Returns a sentence about it, or `undefined` if the file can be used.
 */
export function moveAsideIfDamaged(file: string): string | undefined {
  const before = existsSync(file) ? statSync(file).ino : undefined;
  const damage = damageOf(file);
  // Another process may have moved it meanwhile.
  if (damage === undefined || !existsSync(file) || statSync(file).ino !== before) return undefined;
  const aside = `${file}.unusable-${new Date().toISOString().replaceAll(':', '-')}`;
  renameSync(file, aside);
  for (const suffix of SQLITE_SIDE_FILES) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  return `${file} ${damage}. It was moved to ${aside}, and the read models are built again from the event log`;
}
