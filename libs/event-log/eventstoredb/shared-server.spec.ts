import { randomUUID } from 'node:crypto';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { type EventLog, eventsToNow, HistoryMissing, identifyLog, isSealed, sealLog } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import type { RecordedEvent } from '#events';
import { type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { TcpProxy } from '../../../test/support/doubles/tcp-proxy.js';
import { newEvents } from '../../../test/support/events/new-events.js';

const strong = { consistency: 'strong' } as const;
const credentials = { username: 'another', password: 'application' };
const client = `consumerClient-cc_${randomUUID()}`;

let store: EventStore;
let other: EventStoreDBClient;
let logs: EventLog[];

const open = (prefix: string, url = store.url) => {
  const log = openEventStoreDbLog({ url, prefix });
  logs.push(log);
  return log;
};

beforeEach(async () => {
  logs = [];
  store = await startEventStore();
  other = EventStoreDBClient.connectionString(`${store.url}&connectionName=another-application`);
});
afterEach(async () => {
  await Promise.all(logs.map((log) => log.close()));
  await other.dispose();
  await store.stop();
});

const streamsOf = (events: readonly RecordedEvent[]) => events.map(({ stream }) => stream);

async function followed(log: EventLog): Promise<RecordedEvent[]> {
  const all: RecordedEvent[] = [];
  for await (const { events, caughtUp } of log.subscribe({ signal: new AbortController().signal })) {
    all.push(...events);
    if (caughtUp) break;
  }
  return all;
}

async function toNow(log: EventLog): Promise<RecordedEvent[]> {
  const all: RecordedEvent[] = [];
  for await (const event of eventsToNow(log)) all.push(event);
  return all;
}

/** Returns the names of all streams on the server, without the server's own ones. */
async function storedStreams(): Promise<Set<string>> {
  const found = new Set<string>();
  for await (const { event } of other.readAll())
    if (event && !event.streamId.startsWith('$')) found.add(event.streamId);
  return found;
}

describe.each([
  ['', 'a-'],
  ['a-', 'a-b-'],
  ['', 'log'],
  ['log', 'logs-'],
  ['', 'consumer'],
])('installations with the prefixes %j and %j on one server', (first, second) => {
  it('have streams of the same names, and see nothing of each other', async () => {
    const [one, two] = [open(first), open(second)];
    const ids = await Promise.all([one, two].map((log) => identifyLog(log, () => new Date())));
    expect(new Set(ids).size).toBe(2);
    const mine = newEvents(3);
    const theirs = newEvents(2);
    const appended = await one.append(client, 'none', mine);
    await two.append(client, 'none', theirs);
    await one.snapshots.write('v1', 'state of one');
    expect(await two.snapshots.read('v1')).toBeUndefined();
    await two.snapshots.writeParts('v1', ['part of two']);
    expect(await one.snapshots.readPart('v1', 0)).toBeUndefined();

    for (const [log, events] of [
      [one, mine],
      [two, theirs],
    ] as const) {
      const expected = ['log', ...events.map(() => client)];
      for (const found of [
        await log.readAll(),
        await log.readAll(strong),
        (await log.readAll({ direction: 'backwards' })).toReversed(),
        await followed(log),
        await toNow(log),
      ]) {
        expect(streamsOf(found)).toEqual(expected);
        expect(found.slice(1).map(({ eventId }) => eventId)).toEqual(events.map(({ eventId }) => eventId));
      }
      expect((await log.readStream(client)).map(({ stream, revision }) => [stream, revision])).toEqual(
        events.map((_, revision) => [client, BigInt(revision)]),
      );
    }
    expect(await one.eventAt(appended.position)).toMatchObject({ stream: client, revision: 2n });
    expect(await two.eventAt(appended.position)).toBeUndefined();
    expect(await storedStreams()).toEqual(
      new Set([
        ...[first, second].flatMap((prefix) => [`${prefix}log`, `${prefix}${client}`]),
        ...[`${first}snapshot-v1`, `${second}snapshotParts-v1`],
        ...[...(await storedStreams())].filter((name) => /^(.*)fence-[0-9a-f-]{36}$/.test(name)),
      ]),
    );
  });

  it('are sealed, and lose events, each by itself', async () => {
    const [one, two] = [open(first), open(second)];
    for (const log of [one, two]) {
      await identifyLog(log, () => new Date());
      await log.append(client, 'none', newEvents(2));
    }
    await other.deleteStream(`${second}${client}`, { credentials });
    await expect(two.readStream(client)).rejects.toThrow(HistoryMissing);
    expect(await one.readStream(client, strong)).toHaveLength(2);
    await sealLog(two, { reason: 'Copied elsewhere', now: () => new Date() });
    expect([await isSealed(one), await isSealed(two)]).toEqual([false, true]);
    await one.append(client, 1n, newEvents(1));
  });
});

it('works beside another application that owns streams named as ours', async () => {
  for (const stream of ['log', 'signingKeys', client]) {
    await other.appendToStream(stream, jsonEvent({ type: 'Logged', data: {} }), { credentials });
  }
  const log = open('clients.');
  await identifyLog(log, () => new Date());
  await log.append(client, 'none', newEvents(1));
  expect(streamsOf(await toNow(log))).toEqual(['log', client]);
});

describe('a read of the whole log, on a server that other applications share', () => {
  const FOREIGN = 4_000;
  const FOREIGN_BYTES = 1_000;

  it.each(['', 'staging-'])('with the prefix %j fetches only our events, and ends at the log’s end', async (prefix) => {
    const proxy = await TcpProxy.start(() => store.port);
    try {
      const writer = open(prefix);
      await writer.append(client, 'none', newEvents(3));
      // Names that a filter by our names as prefixes would let through, and those of a neighbour.
      const foreign = [`${prefix}logistics-1`, `${prefix}signingKeysOfOthers`, `x-${client}`, 'orders-1'];
      for (const stream of foreign) {
        for (let left = FOREIGN / foreign.length; left > 0; left -= 500) {
          const text = 'x'.repeat(FOREIGN_BYTES);
          const events = Array.from({ length: 500 }, () => jsonEvent({ type: 'Ordered', data: { text } }));
          await other.appendToStream(stream, events, { credentials });
        }
      }
      const reader = open(prefix, `esdb://127.0.0.1:${proxy.port}?tls=false`);
      for (const after of [undefined, (await writer.readAll({ limit: 1 }))[0]?.position]) {
        const found: RecordedEvent[] = [];
        const before = proxy.bytesAnswered;
        for await (const event of eventsToNow(reader, { after })) found.push(event);
        expect(found.map(({ revision }) => revision)).toEqual(after === undefined ? [0n, 1n, 2n] : [1n, 2n]);
        expect(proxy.bytesAnswered - before).toBeLessThan((FOREIGN * FOREIGN_BYTES) / 50);
      }
      // The last event of ours was the end when the read began; now it lies before it, and a later one is found, too.
      await writer.append(client, 2n, newEvents(1));
      expect(await toNow(reader)).toHaveLength(4);
    } finally {
      await proxy.stop();
    }
  });
});
