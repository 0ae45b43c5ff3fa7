import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { EventLog } from '#event-log';
import { prepareDataDir } from '#platform';

export interface LogPlaceOptions {
  /** Whether an SQLite file may be made where there is none. */
  readonly create: boolean;
  readonly fenceMaxAgeMs: number;
}

/** Opens the event log in an SQLite file, or behind a connection string of EventStoreDB. Throws `LogUnavailable`. */
export async function openLogAt(place: string, { create, fenceMaxAgeMs }: LogPlaceOptions): Promise<EventLog> {
  if (/^esdb(\+discover)?:\/\//.test(place)) {
    const { openEventStoreDbLog } = await import('#event-log/eventstoredb');
    return openEventStoreDbLog({ url: place, fenceMaxAgeMs });
  }
  const file = resolve(place);
  if (create) prepareDataDir(dirname(file));
  else if (!existsSync(file)) throw new Error(`There is no file ${file}`);
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  return openSqliteEventLog({ file });
}
