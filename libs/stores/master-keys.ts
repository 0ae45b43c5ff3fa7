import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { MasterKeys, secretInFile } from '#credentials';
import { type Configuration, ConfigurationError, masterKeyIn, unusableFile } from '#platform/without-http';

/**
 * Returns the configured master keys, for one of several processes that use the same event log. All of these processes
 * must have the same master keys. Throws `ConfigurationError`.
 */
export function givenMasterKeys({ masterKey, previousMasterKeys }: Configuration): MasterKeys {
  if (masterKey === undefined) {
    throw new ConfigurationError('MASTER_KEY', 'must be set (or MASTER_KEY_FILE): only the standalone makes its own');
  }
  return MasterKeys.from({ current: masterKey, previous: previousMasterKeys });
}

/**
 * Path of the Standalone process's master key file, which holds 32 bytes in base64. If the file is lost, every
 * credential is lost.
 */
export const masterKeyPath = (dataDir: string): string => join(dataDir, 'master.key');

/**
 * Returns the Standalone process's own master key (32 bytes), which is made at the first start. Throws
 * `ConfigurationError` if the file holds no such key.
 */
export function standaloneMasterKey(dataDir: string): Buffer {
  const path = masterKeyPath(dataDir);
  return masterKeyIn(
    ownSecret(path, () => randomBytes(32).toString('base64')),
    path,
  );
}

/**
 * Returns the secret in a file of this process, which `make` makes at the first start. Throws `ConfigurationError` if the
 * file can't be made or read.
 */
export function ownSecret(path: string, make: () => string): string {
  try {
    return secretInFile(path, make);
  } catch (error) {
    throw unusableFile(path, error) ?? error;
  }
}
