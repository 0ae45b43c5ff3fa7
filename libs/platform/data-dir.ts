import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigurationError } from './configuration.js';

/**
 * Creates the directory with mode 0700 if it is missing, and its parents. Throws `ConfigurationError` if the directory
 * can't be created, read or written.
 */
export const prepareDataDir = (dataDir: string): void => {
  try {
    prepareDirectory(dataDir);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigurationError('DATA_DIR', `can't be used (${dataDir}): ${reason}`);
  }
};

/**
 * Does the same as `prepareDataDir` for any other directory. Throws an error that says why the directory can't be
 * created, read or written, but not where its name comes from.
 */
export function prepareDirectory(path: string): void {
  makeDirectory(path);
  accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
}

/**
 * Node 20's own recursive `mkdir` never returns for a directory in `/proc`. The parents are looked at first, so the error
 * for a path below a file names the file.
 */
function makeDirectory(path: string): void {
  const parent = dirname(path);
  if (parent !== path) makeDirectory(parent);
  if (isDirectory(path)) return;
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process may have made it at the same time.
    if (!isDirectory(path)) throw error;
  }
}

function isDirectory(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found && !found.isDirectory()) throw new Error(`${path} is not a directory`);
  return found !== undefined;
}
