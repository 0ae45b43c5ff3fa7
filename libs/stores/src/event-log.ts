import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { EventLog } from '#event-log';
import { type Configuration, prepareDataDir } from '#platform';
import { refusedUrl } from './refused-url.js';

/** There is no event log yet, and the caller is not the one to begin it. */
export class NoEventLog extends Error {
  override readonly name = 'NoEventLog';
}

export interface OpenEventLogOptions {
  /** Whether an SQLite file is made where there is none (default true). */
  readonly create?: boolean;
}

/**
 * The event log that the configuration chooses; its adapter is loaded only then. Throws `LogUnavailable`, and
 * `NoEventLog` where it may not make one.
 */
export async function openEventLog(
  { eventStoreDbUrl, fenceMaxAgeMs, dataDir }: Configuration,
  { create = true }: OpenEventLogOptions = {},
): Promise<EventLog> {
  if (eventStoreDbUrl !== undefined) {
    const { openEventStoreDbLog } = await import('#event-log/eventstoredb');
    try {
      return openEventStoreDbLog({ url: eventStoreDbUrl, fenceMaxAgeMs });
    } catch (error) {
      throw refusedUrl('EVENTSTOREDB_URL', error);
    }
  }
  const file = join(dataDir, 'event-log.db');
  if (!create && !existsSync(file))
    throw new NoEventLog(`There is no event log in ${dataDir}: start the service first`);
  prepareDataDir(dataDir);
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  return openSqliteEventLog({ file });
}
