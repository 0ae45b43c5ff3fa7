import { existsSync } from 'node:fs';
import { MasterKeys } from '#credentials';
import { type Configuration, masterKeyPath, standaloneMasterKey } from '#platform';

/** The master keys that the service of this environment uses; none is made here. Throws where there is none. */
export function masterKeysOf({ masterKey, previousMasterKeys, dataDir }: Configuration): MasterKeys {
  if (!masterKey && !existsSync(masterKeyPath(dataDir))) {
    throw new Error(`${masterKeyPath(dataDir)} is missing: start the service first, or set MASTER_KEY`);
  }
  return MasterKeys.from({ current: masterKey ?? standaloneMasterKey(dataDir), previous: previousMasterKeys });
}
