import { join } from 'node:path';
import type { Logger, StoreConfiguration } from '#platform/without-http';

/** Where the event log is, for a log line: the servers, or the file. */
export const placeOfEventLog = ({ eventStoreDbUrl, dataDir }: StoreConfiguration): string =>
  eventStoreDbUrl === undefined ? fileIn(dataDir, 'event-log.db') : `EventStoreDB, ${serversIn(eventStoreDbUrl)}`;

/** Where the read store is, for a log line: the servers, or the file. */
export const placeOfReadStore = ({ mongoDbUrl, dataDir }: StoreConfiguration): string =>
  mongoDbUrl === undefined ? fileIn(dataDir, 'read-models.db') : `MongoDB, ${serversIn(mongoDbUrl)}`;

/** The stores that a process uses, and the variable that puts each on a server. */
const VARIABLES = { 'event log': 'EVENTSTOREDB_URL', 'read store': 'MONGODB_URL' } as const;

/**
 * Logs one warning if stores of a process that needs others beside it are files: only processes with the same `DATA_DIR`
 * use them. A forgotten variable would otherwise part the processes without any error.
 */
export function warnOfFiles(
  { eventStoreDbUrl, mongoDbUrl, dataDir }: StoreConfiguration,
  logger: Pick<Logger, 'warn'>,
  used: readonly (keyof typeof VARIABLES)[],
): void {
  const urls = { 'event log': eventStoreDbUrl, 'read store': mongoDbUrl };
  const files = used.filter((store) => urls[store] === undefined);
  if (files.length === 0) return;
  const variables = files.map((store) => VARIABLES[store]).join(' and ');
  logger.warn(
    `only processes on this machine with DATA_DIR=${dataDir} use its ${files.join(' and ')}: no other one sees ` +
      `what this one writes; to share a server, set ${variables}`,
  );
}

const fileIn = (dataDir: string, name: string): string => `SQLite, ${join(dataDir, name)}`;

/**
 * Returns the hosts in a connection string. The account and the options stay out of the log. A password may hold signs
 * that should have been encoded, so the hosts begin after the last `@` of the whole string.
 */
function serversIn(url: string): string {
  const account = url.lastIndexOf('@');
  const rest = account < 0 ? url.slice(url.indexOf('://') + 3) : url.slice(account + 1);
  return rest.replace(/[/?].*$/s, '');
}
