import { join } from 'node:path';
import { prepareDataDir, type StoreConfiguration } from '#platform/without-http';
import type { ReadStore } from '#read-models';
import { refusedUrl } from './refused-url.js';

export interface OpenReadStoreOptions {
  /** Is told, once each, what the store's server does not have. */
  readonly onWarning?: (message: string) => void;
  /** The rights of the account that are tried (default: none). */
  readonly rights?: 'read' | 'write';
  /** Whether an SQLite file that is of no use is renamed, and built again (default false). */
  readonly replaceDamaged?: boolean;
}

/**
 * Opens the read store that the configuration chooses. Loads the code of this adapter only. Throws
 * `ReadStoreUnavailable`, and `ConfigurationError` for a bad URL.
 */
export async function openReadStore(
  { mongoDbUrl, dataDir }: StoreConfiguration,
  { replaceDamaged = false, ...options }: OpenReadStoreOptions = {},
): Promise<ReadStore> {
  if (mongoDbUrl !== undefined) {
    const { openMongoReadStore } = await import('#read-models/mongodb');
    try {
      return await openMongoReadStore({ url: mongoDbUrl, ...options });
    } catch (error) {
      throw refusedUrl('MONGODB_URL', error);
    }
  }
  prepareDataDir(dataDir);
  const { openSqliteReadStore } = await import('#read-models/sqlite');
  const onMovedAside = replaceDamaged ? options.onWarning : undefined;
  return openSqliteReadStore({ file: join(dataDir, 'read-models.db'), onMovedAside });
}
