import { join } from 'node:path';
import type { StoreConfiguration } from '#platform/without-http';

/** Where the event log is, for a log line: the servers, or the file. */
export const placeOfEventLog = ({ eventStoreDbUrl, dataDir }: StoreConfiguration): string =>
  eventStoreDbUrl === undefined ? fileIn(dataDir, 'event-log.db') : `EventStoreDB, ${serversIn(eventStoreDbUrl)}`;

/** Where the read store is, for a log line: the servers, or the file. */
export const placeOfReadStore = ({ mongoDbUrl, dataDir }: StoreConfiguration): string =>
  mongoDbUrl === undefined ? fileIn(dataDir, 'read-models.db') : `MongoDB, ${serversIn(mongoDbUrl)}`;

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
