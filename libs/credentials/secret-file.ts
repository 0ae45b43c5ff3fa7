import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Returns the secret in a file, without white space around the secret. If the file is missing, this function creates
 * the file with mode 0600 and the secret that `make` returns. An existing file is never overwritten, so two processes
 * that start at once get the same secret.
 */
export function secretInFile(path: string, make: () => string): string {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) writeOnce(path, make());
  return readFileSync(path, 'utf8').trim();
}

/** Whether the file's group or other users may read the file. If so, the caller should warn the owner. */
export const readableByOthers = (path: string): boolean => (statSync(path).mode & 0o044) !== 0;

/**
 * Writes the file unless it exists. If two processes write at once, the first process to link its file wins. The path
 * never shows an empty or half-written file, even after a crash.
 */
function writeOnce(path: string, contents: string): void {
  const next = `${path}.${randomBytes(6).toString('hex')}`;
  writeSynced(next, contents);
  try {
    linkSync(next, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    unlinkSync(next);
  }
  const directory = openSync(dirname(path), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

function writeSynced(path: string, contents: string): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, `${contents}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
