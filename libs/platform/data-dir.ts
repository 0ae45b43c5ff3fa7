import { mkdirSync } from 'node:fs';
import { ConfigurationError } from './configuration.js';

/**
 * Creates the directory with mode 0700 if it is missing. Throws `ConfigurationError` if the directory can't be created.
 */
export const prepareDataDir = (dataDir: string): void => {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new ConfigurationError('DATA_DIR', `can not be made: ${cause instanceof Error ? cause.message : dataDir}`);
  }
};
