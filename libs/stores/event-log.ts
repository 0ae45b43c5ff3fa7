import { existsSync, statSync } from 'node:fs';
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
 * missing or empty and must not be created, or was lost.
 */
export async function openEventLog(
  configuration: StoreConfiguration,
  { create = true, isSecondary = false, changeCounter, onWarning = () => undefined }: OpenEventLogOptions = {},
): Promise<EventLog> {
  const { eventStoreDbUrl, eventStoreDbPrefix: prefix, fenceMaxAgeMs, dataDir } = configuration;
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
  const isMissing = (statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0;
  if (!create && isMissing) {
    throw new ConfigurationError('DATA_DIR', `has no event log (${file}): start the service first`);
  }
  prepareDataDir(dataDir);
  if (isMissing) await refuseLostLog(configuration, file);
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  return openSqliteEventLog({ file, isSecondary, changeCounter });
}

/**
 * Throws `ConfigurationError` if the read models beside the missing file were built from a log: a new, empty log in its
 * place would know no client and no key, and a restore would have to remove it.
 */
async function refuseLostLog({ dataDir, mongoDbUrl }: StoreConfiguration, file: string): Promise<void> {
  const readModels = join(dataDir, 'read-models.db');
  if (mongoDbUrl !== undefined || !existsSync(readModels)) return;
  const { logOfReadModels } = await import('#read-models/sqlite');
  const logId = logOfReadModels(readModels);
  if (logId === undefined) return;
  throw new ConfigurationError(
    'DATA_DIR',
    `has read models of log ${logId}, but its event log is missing or empty (${file}): restore the log from a backup, ` +
      'or remove read-models.db as well if a new log is to begin',
  );
}
