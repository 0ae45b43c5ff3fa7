import { join } from 'node:path';
import { CredentialMint, CredentialVerifier, MasterKeys } from '#credentials';
import { type BookOfRecord, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
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
import type { ReadStore } from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { AdminTokenFile, BootstrapIssuer, ManagementTokenVerifier, SigningKeyRing } from '#tokens';

/** Everything that the standalone opens in `DATA_DIR`, and what is made of it. */
export interface Stores {
  readonly book: BookOfRecord;
  readonly readStore: ReadStore;
  readonly masterKeys: MasterKeys;
  readonly mint: CredentialMint;
  readonly verifier: CredentialVerifier;
  readonly ring: SigningKeyRing;
  readonly managementTokens: ManagementTokenVerifier;
  close(): Promise<void>;
}

/** Opens the embedded stores, making what is missing. Throws what tells the operator what to put right. */
export async function openStores(configuration: Configuration, logger: Logger, clock: Clock): Promise<Stores> {
  const { dataDir, previousMasterKeys, tokenAlg } = configuration;
  prepareDataDir(dataDir);
  const current = configuration.masterKey ?? ownMasterKey(dataDir, logger);
  const masterKeys = MasterKeys.from({ current, previous: previousMasterKeys });
  const log = await openSqliteEventLog({ file: join(dataDir, 'event-log.db') });
  const readStore = await openSqliteReadStore({ file: join(dataDir, 'read-models.db') });
  const book = await openBookOfRecord(log, clock);
  const ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: tokenAlg, now: clock });
  await ring.start();
  return {
    book,
    readStore,
    masterKeys,
    mint: new CredentialMint({ keys: masterKeys }),
    verifier: new CredentialVerifier({ keys: masterKeys }),
    ring,
    managementTokens: await managementTokenVerifier(configuration, masterKeys, clock),
    close: async () => {
      await readStore.close();
      await log.close();
    },
  };
}

function ownMasterKey(dataDir: string, logger: Logger): Buffer {
  const key = standaloneMasterKey(dataDir);
  if (readableByOthers(masterKeyPath(dataDir))) logger.warn('master.key can be read by others; make it mode 0600');
  return key;
}

/** The marketplace's issuer where one is set, else the built-in one and the administrator's token. */
async function managementTokenVerifier(
  { managementIssuer, dataDir }: Configuration,
  masterKeys: MasterKeys,
  clock: Clock,
): Promise<ManagementTokenVerifier> {
  if (managementIssuer) return new ManagementTokenVerifier(managementIssuer, { now: clock });
  const adminToken = new AdminTokenFile(adminTokenPath(dataDir));
  await adminToken.ensure();
  return new ManagementTokenVerifier({ bootstrap: new BootstrapIssuer(masterKeys), adminToken }, { now: clock });
}
