import { MasterKeys } from '#credentials';
import { type Configuration, ConfigurationError } from './configuration.js';

/** The master keys of a process that is one of several: they must have the same. Throws `ConfigurationError`. */
export function givenMasterKeys({ masterKey, previousMasterKeys }: Configuration): MasterKeys {
  if (masterKey === undefined) {
    throw new ConfigurationError('MASTER_KEY', 'must be set (or MASTER_KEY_FILE): only the standalone makes its own');
  }
  return MasterKeys.from({ current: masterKey, previous: previousMasterKeys });
}
