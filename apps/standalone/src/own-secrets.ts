import { MasterKeys } from '#credentials';
import {
  type Clock,
  type Configuration,
  type Logger,
  adminTokenPath,
  masterKeyPath,
  prepareDataDir,
  readableByOthers,
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
  const key = standaloneMasterKey(dataDir);
  if (readableByOthers(masterKeyPath(dataDir))) logger.warn('master.key can be read by others; make it mode 0600');
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
