import { join } from 'node:path';
import { prepareDataDir, type StoreConfiguration } from '#platform/without-http';
import type { ReadStore } from '#read-models';
import { refusedUrl } from './refused-url.js';

/**
 * Opens the read store that the configuration chooses. Loads the code of this adapter only. `onWarning` is told, once
 * each, what the store's server does not have. Throws `ReadStoreUnavailable`.
 */
export async function openReadStore(
  { mongoDbUrl, dataDir }: StoreConfiguration,
  onWarning?: (message: string) => void,
): Promise<ReadStore> {
  if (mongoDbUrl !== undefined) {
    const { openMongoReadStore } = await import('#read-models/mongodb');
    try {
      return await openMongoReadStore({ url: mongoDbUrl, ...(onWarning && { onWarning }) });
    } catch (error) {
      throw refusedUrl('MONGODB_URL', error);
    }
  }
  prepareDataDir(dataDir);
  const { openSqliteReadStore } = await import('#read-models/sqlite');
  return openSqliteReadStore({ file: join(dataDir, 'read-models.db') });
}
