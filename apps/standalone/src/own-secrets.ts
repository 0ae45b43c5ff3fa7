import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MasterKeys } from '#credentials';
import {
  type Clock,
  type Configuration,
  ConfigurationError,
  type Logger,
  adminTokenPath,
  masterKeyPath,
  prepareDataDir,
  readableByOthers,
  standaloneGatewaySecret,
  standaloneMasterKey,
} from '#platform';
import { AdminTokenFile, BootstrapIssuer, ManagementTokenVerifier } from '#tokens';

/** The master keys that are given, else the one in `DATA_DIR`, made where it is missing. */
export function ownMasterKeys(configuration: Configuration, logger: Logger): MasterKeys {
  const { dataDir, masterKey, previousMasterKeys } = configuration;
  prepareDataDir(dataDir);
  return MasterKeys.from({ current: masterKey ?? keyInDataDir(dataDir, logger), previous: previousMasterKeys });
}

function keyInDataDir(dataDir: string, logger: Logger): Buffer {
  const path = masterKeyPath(dataDir);
  // A new key would fit nothing that is in the log.
  if (!existsSync(path) && existsSync(join(dataDir, 'event-log.db'))) {
    throw new ConfigurationError('MASTER_KEY', `is needed: there is an event log, but no ${path}`);
  }
  const key = standaloneMasterKey(dataDir);
  if (readableByOthers(path)) logger.warn('master.key can be read by others; make it mode 0600');
  return key;
}

/** The marketplace's issuer where one is set, else the built-in one and the administrator's token. */
export async function ownManagementTokens(
  { managementIssuer, dataDir }: Configuration,
  masterKeys: MasterKeys,
  clock: Clock,
): Promise<ManagementTokenVerifier> {
  if (managementIssuer) return new ManagementTokenVerifier(managementIssuer, { now: clock });
  const adminToken = new AdminTokenFile(adminTokenPath(dataDir));
  await adminToken.ensure();
  return new ManagementTokenVerifier({ bootstrap: new BootstrapIssuer(masterKeys), adminToken }, { now: clock });
}

/** What gateways send as `X-Gateway-Secret`: given, or made in `DATA_DIR` where it is missing. */
export const ownGatewaySecret = ({ gateway, dataDir }: Configuration): string =>
  gateway.secret ?? standaloneGatewaySecret(dataDir);
