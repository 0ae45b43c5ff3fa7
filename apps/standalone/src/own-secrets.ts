import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MasterKeys, readableByOthers } from '#credentials';
import {
  type Clock,
  type Configuration,
  ConfigurationError,
  gatewaySecretIn,
  type Logger,
  prepareDataDir,
  unusableFile,
} from '#platform';
import { masterKeyPath, ownSecret, standaloneMasterKey } from '#stores';
import { AdminTokenFile, adminTokenPath, BootstrapIssuer, type EndedTokens, ManagementTokenVerifier } from '#tokens';

/**
 * Returns the configured master keys. If no current master key is configured, the key comes from a file in `DATA_DIR`.
 * The file is created if it is missing.
 */
export function ownMasterKeys(configuration: Configuration, logger: Logger): MasterKeys {
  const { dataDir, masterKey, previousMasterKeys } = configuration;
  prepareDataDir(dataDir);
  return MasterKeys.from({ current: masterKey ?? keyInDataDir(dataDir, logger), previous: previousMasterKeys });
}

function keyInDataDir(dataDir: string, logger: Logger): Buffer {
  const path = masterKeyPath(dataDir);
  // An existing log needs its own master key. A new key could not unwrap the keys in the log and could not verify the
  // secrets in the log.
  if (!existsSync(path) && existsSync(join(dataDir, 'event-log.db'))) {
    throw new ConfigurationError('MASTER_KEY', `is needed: there is an event log, but no ${path}`);
  }
  const key = standaloneMasterKey(dataDir);
  if (readableByOthers(path)) logger.warn('master.key can be read by others; make it mode 0600');
  return key;
}

/**
 * Accepts tokens of the configured management issuer. If no issuer is configured, accepts tokens of the built-in issuer
 * that were not ended, and the token in the administrator's token file.
 */
export async function ownManagementTokens(
  { managementIssuer, dataDir }: Configuration,
  masterKeys: MasterKeys,
  endedTokens: EndedTokens,
  clock: Clock,
): Promise<ManagementTokenVerifier> {
  if (managementIssuer) return new ManagementTokenVerifier(managementIssuer, { now: clock });
  const adminToken = new AdminTokenFile(adminTokenPath(dataDir));
  await adminToken.ensure().catch((error: unknown) => {
    throw unusableFile(adminToken.path, error) ?? error;
  });
  const bootstrap = new BootstrapIssuer(masterKeys);
  return new ManagementTokenVerifier({ bootstrap, adminToken, endedTokens }, { now: clock });
}

/**
 * Returns the secret that `X-Gateway-Secret` must have: the configured secret, or the content of a file in `DATA_DIR`
 * (32 random bytes in base64url). The file is created if it is missing. Throws `ConfigurationError` if the file holds
 * no such secret.
 */
export const ownGatewaySecret = ({ gateway, dataDir }: Configuration): string =>
  gateway.secret ?? secretInDataDir(join(dataDir, 'gateway.secret'));

const secretInDataDir = (path: string): string =>
  gatewaySecretIn(
    ownSecret(path, () => randomBytes(32).toString('base64url')),
    path,
  );
