import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigurationError } from './configuration.js';

/**
 * Creates the directory with mode 0700 if it is missing, and its parents. Throws `ConfigurationError` if the directory
 * can't be created, read or written.
 */
export const prepareDataDir = (dataDir: string): void => {
  try {
    makeDirectory(dataDir);
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigurationError('DATA_DIR', `can't be used (${dataDir}): ${reason}`);
  }
};

/** Node 20's own recursive `mkdir` never returns for a directory in `/proc`. */
function makeDirectory(path: string): void {
  if (isDirectory(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectory(parent);
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
