import { randomUUID } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { binaryEvent, EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { type EventLog, HistoryMissing, identifyLog, type OutageObserver } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { eventually } from '../../../test/support/api/http.js';
import { newEvents } from '../../../test/support/events/new-events.js';

let store: EventStore;
let operator: EventStoreDBClient;
let opened: EventLog[];
let log: EventLog;
let stream: string;

beforeEach(async () => {
  store = await startEventStore();
  operator = EventStoreDBClient.connectionString(store.url);
  opened = [];
  log = newProcess();
  stream = newStream();
  await identifyLog(log, () => new Date());
  await log.append(stream, 'none', newEvents(2));
});
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(opened.map((each) => each.close()));
  await operator.dispose();
  await store.stop();
});

const newStream = () => `consumerClient-cc_${randomUUID()}`;
const newProcess = (options: { deadlineMs?: number } = {}) => {
  const process = openEventStoreDbLog({ url: store.url, ...options });
  opened.push(process);
  return process;
};

interface Told {
  readonly observer: OutageObserver;
  readonly lines: string[];
}
const tellingTo = (lines: string[]): OutageObserver => ({
  outageBegan: ({ message }) => lines.push(message),
  outageEnded: () => lines.push('over'),
});
const watching = (process: EventLog): Told & { readonly ended: Promise<void> } => {
  const lines: string[] = [];
  const observer = tellingTo(lines);
  return { observer, lines, ended: process.watchCuts(observer) };
};
const untilCuts = (process: EventLog, cuts: EventLog['missingHistory']['cuts']) =>
  eventually(
    () => Promise.resolve(process.missingHistory.cuts),
    (found) => JSON.stringify(found) === JSON.stringify(cuts),
  );

const untilCutCount = (process: EventLog, count: number) =>
  eventually(
    () => Promise.resolve(process.missingHistory.cutCount),
    (found) => found === count,
  );

const takeBack = () => operator.setStreamMetadata(stream, {});
/** Metadata that somebody has appended as an event. The server does not look at the event's type. */
const appendMetadata = (of: string, type: string, data: object) =>
  operator.appendToStream(`$$${of}`, jsonEvent({ type, data: data as Record<string, string> }));
const appendBinaryMetadata = (data: object) =>
  operator.appendToStream(`$$${stream}`, binaryEvent({ type: '$metadata', data: Buffer.from(JSON.stringify(data)) }));

const byMetadata: [how: string, cut: () => Promise<unknown>][] = [
  ['has $tb 1', () => operator.setStreamMetadata(stream, { truncateBefore: 1 })],
  ['has $maxCount 1', () => operator.setStreamMetadata(stream, { maxCount: 1 })],
  ['has $maxAge 31536000', () => operator.setStreamMetadata(stream, { maxAge: 31_536_000 })],
  ['has $tb 1, $maxCount 5', () => operator.setStreamMetadata(stream, { truncateBefore: 1, maxCount: 5 })],
  ['has $maxCount 1', () => appendMetadata(stream, 'Anything', { $maxCount: 1 })],
  ['has $maxCount 1', () => appendMetadata(stream, '$metadata', { $maxCount: 1, $maxAge: null, $tb: null })],
  ['has $maxCount 1', () => appendBinaryMetadata({ $maxCount: 1 })],
  ['was deleted', () => operator.deleteStream(stream)],
];

describe('a stream that is cut', () => {
  it.each(byMetadata)(
    'by its metadata is found and noticed: it %s; and it is forgotten when taken back',
    async (how, cut) => {
      void watching(log);
      await cut();
      await untilCuts(log, [{ stream, how }]);
      expect(await newProcess().findCuts()).toEqual([{ stream, how }]);
      await takeBack();
      await untilCuts(log, []);
      expect(await newProcess().findCuts()).toEqual([]);
    },
  );

  it('stays known when its metadata are written as binary data, which servers may ignore', async () => {
    void watching(log);
    await operator.setStreamMetadata(stream, { maxCount: 3 });
    await appendBinaryMetadata({});
    const other = newStream();
    await operator.setStreamMetadata(other, { maxCount: 4 });
    await untilCuts(log, [
      { stream, how: 'has $maxCount 3' },
      { stream: other, how: 'has $maxCount 4' },
    ]);
  });

  it('by a tombstone is found and noticed, whatever its metadata say later', async () => {
    void watching(log);
    await operator.tombstoneStream(stream);
    const cuts = [{ stream, how: 'was tombstoned' }];
    await untilCuts(log, cuts);
    await takeBack();
    const other = newStream();
    await operator.setStreamMetadata(other, { maxCount: 3 });
    await untilCuts(log, [...cuts, { stream: other, how: 'has $maxCount 3' }]);
    expect(await newProcess().findCuts()).toHaveLength(2);
  });

  it('and lacks events is not appended to any more, by a process that knew it before', async () => {
    void watching(log);
    const [last] = await log.readStream(stream, { direction: 'backwards', limit: 1 });
    await operator.setStreamMetadata(stream, { truncateBefore: 1 });
    await eventually(
      () => Promise.resolve(log.missingHistory.all),
      (missing) => missing.length > 0,
    );
    await expect(log.append(stream, last?.revision ?? 0n, newEvents(1))).rejects.toThrow(HistoryMissing);
    expect(log.missingHistory.all.map(({ message }) => message)).toEqual([`event 0 of ${stream} is missing`]);
  });

  it.each([
    ['$tb', { truncateBefore: 3 }],
    ['$maxAge', { maxAge: 1 }],
  ])(
    'is not taken for one without news, although %s hides all of it: it may hide a revocation',
    async (_, metadata) => {
      const read = (from: bigint) => log.readStream(stream, { from, limit: 500, consistency: 'strong' });
      expect(await read(2n)).toEqual([]);
      await newProcess().append(stream, 1n, newEvents(1));
      await operator.setStreamMetadata(stream, metadata);
      const hidden = new HistoryMissing(stream, `all events of ${stream} are missing`);
      await eventually(
        () => read(2n).catch((error: unknown) => error),
        (answer) => answer instanceof HistoryMissing,
      );
      for (const from of [1n, 2n, 3n]) await expect(read(from)).rejects.toEqual(hidden);
      expect(log.missingHistory.all).toEqual([hidden]);
      await takeBack();
      expect(await read(2n)).toHaveLength(1);
      expect(await read(3n)).toEqual([]);
      expect(await read(9n)).toEqual([]);
    },
  );

  it('concerns only the installation that owns it, whatever prefix its streams have', async () => {
    const prefixed = openEventStoreDbLog({ url: store.url, prefix: 'staging-' });
    opened.push(prefixed);
    void watching(prefixed);
    void watching(log);
    await operator.setStreamMetadata(`staging-${stream}`, { maxCount: 1 });
    await operator.appendToStream('staging-log', jsonEvent({ type: 'Anything', data: {} }));
    await operator.tombstoneStream('staging-log');
    await untilCuts(prefixed, [
      { stream, how: 'has $maxCount 1' },
      { stream: 'log', how: 'was tombstoned' },
    ]);
    await operator.setStreamMetadata(stream, { maxCount: 2 });
    await untilCuts(log, [{ stream, how: 'has $maxCount 2' }]);
  });

  it('is one of very many: some are named, all are counted and found, and notes stay small', async () => {
    const readStream = jest.spyOn(log, 'readStream');
    void watching(log);
    await untilCuts(log, []);
    const streams = Array.from({ length: 1_500 }, newStream);
    for (let begin = 0; begin < streams.length; begin += 100) {
      const some = streams.slice(begin, begin + 100);
      await Promise.all(some.map((each) => operator.setStreamMetadata(each, { maxCount: 1 })));
    }
    await untilCutCount(log, streams.length);
    expect(log.missingHistory.cuts).toHaveLength(1_000);
    expect(await newProcess().findCuts()).toHaveLength(streams.length);
    expect((await log.snapshots.read('cut-streams'))?.match(/maxCount/g)?.length).toBeLessThanOrEqual(1_000);
    const next = newProcess();
    void watching(next);
    await untilCutCount(next, streams.length);
    expect(readStream.mock.calls.length).toBeLessThanOrEqual(1_000);

    for (const each of streams.slice(0, 600)) await operator.setStreamMetadata(each, {});
    await untilCutCount(next, 900);
    expect(next.missingHistory.cuts).toHaveLength(900);
  });

  it('was cut before a process starts: the process notices it', async () => {
    await operator.setStreamMetadata(stream, { maxCount: 1 });
    void watching(log);
    await untilCuts(log, [{ stream, how: 'has $maxCount 1' }]);
  });
});

it('metadata and deletions that cut nothing of ours are not reported', async () => {
  void watching(log);
  await operator.setStreamMetadata(stream, { truncateBefore: 0, cacheControl: 5 });
  await operator.appendToStream('logistics', jsonEvent({ type: 'Shipped', data: {} }));
  await operator.setStreamMetadata('logistics', { maxCount: 1 });
  await operator.appendToStream('shipments', jsonEvent({ type: 'Shipped', data: {} }));
  await operator.tombstoneStream('shipments');
  await log.snapshots.write('a-snapshot', 'a state');
  await appendMetadata(newStream(), '$metadata', ['no object']);
  const last = newStream();
  await operator.setStreamMetadata(last, { maxCount: 7 });
  await untilCuts(log, [{ stream: last, how: 'has $maxCount 7' }]);
});

describe('a search', () => {
  const startPlaces = () => {
    const subscribe = jest.spyOn(EventStoreDBClient.prototype, 'subscribeToAll');
    return () => subscribe.mock.calls.map(([options]) => options?.fromPosition);
  };
  const noted = () =>
    eventually(
      () => log.snapshots.read('cut-streams'),
      (text) => text !== undefined,
    );

  it('goes on from the notes of another process, and knows what that one has found', async () => {
    void watching(log);
    await operator.setStreamMetadata(stream, { maxCount: 1 });
    await noted();
    const begun = startPlaces();
    const next = newProcess();
    void watching(next);
    await untilCuts(next, [{ stream, how: 'has $maxCount 1' }]);
    // The log is too short for a position of the other search, which looks for tombstones.
    expect(begun()).toEqual([{ commit: expect.any(BigInt) as bigint, prepare: expect.any(BigInt) as bigint }, 'start']);
  });

  it('of many records is noted, although nothing is cut', async () => {
    const subscribe = jest.spyOn(EventStoreDBClient.prototype, 'subscribeToAll');
    const write = jest.spyOn(log.snapshots, 'write');
    const { cuts: unknown } = log.missingHistory;
    void watching(log);
    // The first report of what is cut comes when both subscriptions have caught up.
    await eventually(
      () => Promise.resolve(log.missingHistory.cuts),
      (cuts) => cuts !== unknown,
    );
    /** Lets the server's reports come that it has searched a thousand records more, so many times. */
    const search = (reports: number) => {
      const position = { commit: 5n, prepare: 5n };
      for (const [options] of subscribe.mock.calls) {
        const report = options?.filter?.checkpointReached;
        for (let count = 0; count < reports; count += 1) void report?.({} as never, position);
      }
    };
    search(97);
    for (let turn = 0; turn < 10; turn += 1) await endOfTurn();
    expect(write).not.toHaveBeenCalled();
    search(1);
    expect(await noted()).toBe(JSON.stringify({ searchedTo: ['5/5', '5/5'], cuts: [] }));
  });

  /** A subscription that the server never confirms. */
  const unconfirmed = () =>
    Object.assign(new PassThrough({ objectMode: true }), { unsubscribe: () => Promise.resolve() }) as never;

  it('of the whole log goes on after a failure where it has ended, as often as it gets further', async () => {
    await operator.tombstoneStream(stream);
    const begun = startPlaces();
    jest.spyOn(EventStoreDBClient.prototype, 'subscribeToAll').mockImplementationOnce(unconfirmed);
    expect(await newProcess({ deadlineMs: 1_000 }).findCuts()).toEqual([{ stream, how: 'was tombstoned' }]);
    const place = { commit: expect.any(BigInt) as bigint, prepare: expect.any(BigInt) as bigint };
    expect(begun()).toEqual(['start', 'start', 'start', place]);
  });

  it('of the whole log ends when it is interrupted', async () => {
    const subscribe = jest.spyOn(EventStoreDBClient.prototype, 'subscribeToAll').mockImplementation(unconfirmed);
    const interruption = new AbortController();
    const found = log.findCuts(interruption.signal);
    found.catch(() => undefined);
    await eventually(
      () => Promise.resolve(subscribe.mock.calls.length),
      (calls) => calls === 2,
    );
    interruption.abort(new Error('Interrupted'));
    await expect(found).rejects.toThrow('Interrupted');
  });

  it.each([
    ['damaged', 'no notes at all'],
    ['of another log', JSON.stringify({ searchedTo: ['3/3', ''], cuts: [] })],
  ])('begins at the log’s start if the notes are %s', async (_, notes) => {
    await operator.setStreamMetadata(stream, { maxCount: 1 });
    await log.snapshots.write('cut-streams', notes);
    void watching(log);
    await untilCuts(log, [{ stream, how: 'has $maxCount 1' }]);
  });

  it('that the server refuses is told once, stops nothing else, and goes on once it is allowed', async () => {
    const subscribe = jest.spyOn(EventStoreDBClient.prototype, 'subscribeToAll').mockImplementation(() => {
      throw Object.assign(new Error('Access Denied'), { type: 'access-denied', code: 7 });
    });
    const { lines } = watching(log);
    await eventually(
      () => Promise.resolve(subscribe.mock.calls.length),
      (calls) => calls >= 3,
    );
    await log.append(stream, 1n, newEvents(1));
    expect(lines).toEqual(['EventStoreDB refuses the account in EVENTSTOREDB_URL the right to read $all ($r)']);
    subscribe.mockRestore();
    await operator.setStreamMetadata(stream, { maxCount: 9 });
    await untilCuts(log, [{ stream, how: 'has $maxCount 9' }]);
    expect(lines.slice(1)).toEqual(['over']);
  });

  it('goes on after the server was killed, and ends when the log is closed', async () => {
    const { lines, ended } = watching(log);
    await untilCuts(log, []);
    await store.kill();
    await eventually(
      () => Promise.resolve(lines),
      ({ length }) => length > 0,
    );
    await store.restart();
    await operator.setStreamMetadata(stream, { maxCount: 1 });
    await untilCuts(log, [{ stream, how: 'has $maxCount 1' }]);
    await log.close();
    await ended;
  });
});
