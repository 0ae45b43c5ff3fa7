import { EventStoreDBClient } from '@eventstore/db-client';
import { type EventLog } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';

let store: EventStore;
let operator: EventStoreDBClient;
let log: EventLog;
beforeEach(async () => {
  store = await startEventStore();
  operator = EventStoreDBClient.connectionString(store.url);
  log = openEventStoreDbLog({ url: store.url });
});
afterEach(async () => {
  await log.close();
  await operator.dispose();
  await store.stop();
});

const readParts = (...numbers: readonly number[]) =>
  Promise.all(numbers.map((number) => log.snapshots.readPart('of-a-client', number)));

describe('snapshots of which somebody has cut the streams', () => {
  it('lack the parts that were cut, and give no other part in their place', async () => {
    await log.snapshots.writeParts('of-a-client', ['one', 'two', 'three']);
    await operator.setStreamMetadata('snapshotParts-of-a-client', { truncateBefore: 2 });
    expect(await readParts(0, 1, 2)).toEqual([undefined, undefined, 'three']);
  });

  it.each(['deleteStream', 'tombstoneStream'] as const)('are lost like any cache, not an outage: %s', async (how) => {
    await log.snapshots.write('of-a-client', 'a state');
    await log.snapshots.writeParts('of-a-client', ['one']);
    for (const stream of ['snapshot-of-a-client', 'snapshotParts-of-a-client']) await operator[how](stream);
    expect(await log.snapshots.read('of-a-client')).toBeUndefined();
    expect(await readParts(0)).toEqual([undefined]);
  });
});
