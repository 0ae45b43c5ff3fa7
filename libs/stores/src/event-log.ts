import { join } from 'node:path';
import type { EventLog } from '#event-log';
import { type Configuration, prepareDataDir } from '#platform';
import { refusedUrl } from './refused-url.js';

/** The event log that the configuration chooses; its adapter is loaded only then. Throws `LogUnavailable`. */
export async function openEventLog({ eventStoreDbUrl, fenceMaxAgeMs, dataDir }: Configuration): Promise<EventLog> {
  if (eventStoreDbUrl !== undefined) {
    const { openEventStoreDbLog } = await import('#event-log/eventstoredb');
    try {
      return openEventStoreDbLog({ url: eventStoreDbUrl, fenceMaxAgeMs });
    } catch (error) {
      throw refusedUrl('EVENTSTOREDB_URL', error);
    }
  }
  prepareDataDir(dataDir);
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  return openSqliteEventLog({ file: join(dataDir, 'event-log.db') });
}
