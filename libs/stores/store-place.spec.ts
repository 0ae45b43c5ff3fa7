import type { StoreConfiguration } from '#platform/without-http';
import { placeOfEventLog, placeOfReadStore, warnOfFiles } from './store-place.js';

const configured = (urls: Partial<StoreConfiguration>) => ({ dataDir: '/srv/hub', ...urls }) as StoreConfiguration;

test('a log line names the file of an embedded store', () => {
  expect(placeOfEventLog(configured({}))).toBe('SQLite, /srv/hub/event-log.db');
  expect(placeOfReadStore(configured({}))).toBe('SQLite, /srv/hub/read-models.db');
});

test.each([
  ['esdb://es1:2113,es2:2113?tls=true', 'es1:2113,es2:2113'],
  ['esdb+discover://hub:pa55@cluster.example:2113/?tlsCaFile=/x', 'cluster.example:2113'],
  ['mongodb://hub:pa55@db1:27017,db2:27017/hub?replicaSet=rs', 'db1:27017,db2:27017'],
  ['mongodb://hub:pa/55@w?rd@db1:27017/hub', 'db1:27017'],
  ['mongodb+srv://db.example', 'db.example'],
])('and the servers of another, but never the account: %s', (url, servers) => {
  expect(placeOfEventLog(configured({ eventStoreDbUrl: url }))).toBe(`EventStoreDB, ${servers}`);
  expect(placeOfReadStore(configured({ mongoDbUrl: url }))).toBe(`MongoDB, ${servers}`);
});

test.each([
  ['both stores', {}, ['its event log and read store', 'set EVENTSTOREDB_URL and MONGODB_URL']],
  ['its event log', { mongoDbUrl: 'mongodb://db1' }, ['its event log:', 'set EVENTSTOREDB_URL']],
  ['its read store', { eventStoreDbUrl: 'esdb://es1' }, ['its read store:', 'set MONGODB_URL']],
])('a process that needs others warns once if %s can be seen only with its DATA_DIR', (_, urls, parts) => {
  const told: unknown[] = [];
  warnOfFiles(configured(urls), { warn: (line: unknown) => told.push(line) }, ['event log', 'read store']);
  expect(told).toEqual([expect.stringContaining('DATA_DIR=/srv/hub')]);
  for (const part of parts) expect(told[0]).toContain(part);
});

test('a process that shares all its stores warns of nothing', () => {
  const told: unknown[] = [];
  warnOfFiles(configured({ eventStoreDbUrl: 'esdb://es1' }), { warn: (line: unknown) => told.push(line) }, [
    'event log',
  ]);
  expect(told).toEqual([]);
});
