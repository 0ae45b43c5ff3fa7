import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { EventLog } from '#event-log';
import { ConfigurationError, prepareDataDir, type StoreConfiguration } from '#platform/without-http';
import { refusedUrl } from './refused-url.js';

export interface OpenEventLogOptions {
  /** Whether a missing SQLite file is created (default true). */
  readonly create?: boolean;
  /** See `SqliteEventLogOptions`. */
  readonly isSecondary?: boolean;
  /** See `SqliteEventLogOptions`. */
  readonly changeCounter?: SharedArrayBuffer;
  /** Is told what the account lacks and the process can do without. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Opens the event log that the configuration chooses, and tries the rights of its account. Loads the code of this adapter
 * only. Throws `LogUnavailable`, and `ConfigurationError` for a bad connection string or prefix, and if the file is
 * missing and must not be created.
 */
export async function openEventLog(
  { eventStoreDbUrl, eventStoreDbPrefix: prefix, fenceMaxAgeMs, dataDir }: StoreConfiguration,
  { create = true, isSecondary = false, changeCounter, onWarning = () => undefined }: OpenEventLogOptions = {},
): Promise<EventLog> {
  if (eventStoreDbUrl !== undefined) {
    const { InvalidPrefix, openEventStoreDbLog } = await import('#event-log/eventstoredb');
    let log: ReturnType<typeof openEventStoreDbLog>;
    try {
      log = openEventStoreDbLog({ url: eventStoreDbUrl, prefix, fenceMaxAgeMs });
    } catch (error) {
      if (error instanceof InvalidPrefix) {
        throw new ConfigurationError('EVENTSTOREDB_PREFIX', `can't be used: ${error.message}`);
      }
      throw refusedUrl('EVENTSTOREDB_URL', error);
    }
    try {
      for (const warning of await log.tryRights()) onWarning(warning);
      return log;
    } catch (error) {
      await log.close();
      throw error;
    }
  }
  const file = join(dataDir, 'event-log.db');
  if (!create && !existsSync(file)) {
    throw new ConfigurationError('DATA_DIR', `has no event log (${file}): start the service first`);
  }
  prepareDataDir(dataDir);
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  return openSqliteEventLog({ file, isSecondary, changeCounter });
}
