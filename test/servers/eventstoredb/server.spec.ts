import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  type AllStreamSubscription,
  type AppendToStreamOptions,
  BACKWARDS,
  binaryEvent,
  END,
  type EventData,
  EventStoreDBClient,
  eventTypeFilter,
  excludeSystemEvents,
  type Filter,
  FORWARDS,
  jsonEvent,
  type Position,
  type ReadStreamOptions,
  START,
  streamNameFilter,
  type SubscribeToAllOptions,
} from '@eventstore/db-client';
import { eventually } from '../../support/api/http.js';
import {
  describeOnStandIn,
  type EventStore,
  installedProgram,
  STAND_IN_VERSIONS,
  startEventStore,
} from './event-store.js';

/**
 * These tests show how an EventStoreDB server behaves towards its client. We observed that behaviour on versions
 * 23.10.8, 24.10.14 and 26.1.0, and our stand-in must behave in the same way. If EVENTSTOREDB_PROGRAM names an
 * installed server, the tests start that server instead. If EVENTSTOREDB_URL is set, they run against the server there,
 * except for those tests that kill the process.
 */
const { EVENTSTOREDB_URL } = process.env;
const isStandIn = EVENTSTOREDB_URL === undefined && installedProgram() === undefined;

let store: EventStore | undefined;
let url: string;
let client: EventStoreDBClient;

beforeAll(async () => {
  if (EVENTSTOREDB_URL === undefined) store = await startEventStore();
  url = EVENTSTOREDB_URL ?? store?.url ?? '';
  client = EventStoreDBClient.connectionString(url);
});

afterAll(async () => {
  await client.dispose();
  await store?.stop();
});

/** If an append's own options contain credentials, the client uses the unary path (one gRPC call per append). */
const unary = { credentials: { username: 'admin', password: 'changeit' } };
const paths: [string, AppendToStreamOptions][] = [
  ['unary', unary],
  ['batch', {}],
];

const newStream = () => `account-${randomUUID()}`;
const event = (type = 'Opened', data: Record<string, unknown> = { text: 'x' }, id: string = randomUUID()) =>
  jsonEvent({ id, type, data });
const events = (count: number) => Array.from({ length: count }, () => event());

const positionOf = ({ position }: { readonly position?: Position | undefined }): Position => {
  if (!position) throw new Error('No position');
  return position;
};

/** Makes a stream of `count` events, with one append per event. `last` is the position of the last event. */
const streamOf = async (count: number) => {
  const stream = newStream();
  for (const one of events(count - 1)) await client.appendToStream(stream, one, unary);
  return { stream, last: positionOf(await client.appendToStream(stream, event(), unary)) };
};

const read = async (stream: string, options: ReadStreamOptions = {}) => {
  const found = [];
  for await (const { event } of client.readStream(stream, options)) if (event) found.push(event);
  return found;
};
const revisions = async (stream: string, options?: ReadStreamOptions) =>
  (await read(stream, options)).map(({ revision }) => revision);

const readAll = async (
  fromPosition: Position | typeof START | typeof END,
  options: { direction?: typeof FORWARDS | typeof BACKWARDS; maxCount?: number } = {},
) => {
  const found = [];
  for await (const { event } of client.readAll({ fromPosition, ...options })) if (event) found.push(event);
  return found;
};

const subscribe = (options: SubscribeToAllOptions) => client.subscribeToAll(options);

const drained = async (stream: AsyncIterable<unknown>) => {
  let count = 0;
  for await (const one of stream) count += one === undefined ? 0 : 1;
  return count;
};

/** Returns the events that a subscription delivers until it has reached the log's end. */
const untilCaughtUp = async (subscription: AllStreamSubscription) => {
  const found: { streamId: string; type: string; revision: bigint; position?: Position }[] = [];
  subscription.once('caughtUp', () => void subscription.unsubscribe());
  for await (const { event } of subscription) if (event) found.push(event);
  return found;
};

const wrongVersion = (streamName: string, expectedVersion: unknown, actualVersion: unknown) =>
  expect.objectContaining({
    type: 'wrong-expected-version',
    message: '',
    code: undefined,
    streamName,
    expectedVersion,
    actualVersion,
  }) as Error;

const failure = (type: string, code?: number, message = '') =>
  expect.objectContaining({
    type,
    ...(code === undefined ? {} : { code }),
    message: expect.stringContaining(message) as string,
  }) as Error;

describe.each(paths)('appends on the %s path', (_name, path) => {
  const append = (
    stream: string,
    what: EventData | EventData[],
    expectedRevision?: AppendToStreamOptions['expectedRevision'],
  ) =>
    client.appendToStream(stream, what, { ...path, ...(expectedRevision === undefined ? {} : { expectedRevision }) });

  test('answer the revision and the position of the last event written', async () => {
    const stream = newStream();
    const appended = await append(stream, events(2), 'no_stream');
    expect(appended).toMatchObject({ success: true, nextExpectedRevision: 1n });
    expect(appended.position?.commit).toBe(appended.position?.prepare);
    expect((await read(stream)).at(-1)?.position).toEqual(appended.position);
  });

  test.each(['no_stream', 0n, 9n] as const)('expecting %s are refused on a stream at 1', async (expected) => {
    const { stream } = await streamOf(2);
    await expect(append(stream, event(), expected)).rejects.toEqual(wrongVersion(stream, expected, 1n));
  });

  test.each([1n, 'stream_exists', 'any'] as const)('expecting %s are accepted on a stream at 1', async (expected) => {
    const { stream } = await streamOf(2);
    expect(await append(stream, event(), expected)).toMatchObject({ success: true, nextExpectedRevision: 2n });
  });

  test.each(['stream_exists', 3n] as const)('expecting %s are refused on a missing stream', async (expected) => {
    const stream = newStream();
    await expect(append(stream, event(), expected)).rejects.toEqual(wrongVersion(stream, expected, 'no_stream'));
  });

  test('expecting anything are accepted on a missing stream', async () => {
    expect(await append(newStream(), event())).toMatchObject({ success: true, nextExpectedRevision: 0n });
  });

  test('of twenty at the same revision one is accepted', async () => {
    const { stream } = await streamOf(1);
    const outcomes = await Promise.allSettled(events(20).map((one) => append(stream, one, 0n)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toEqual(wrongVersion(stream, 0n, 1n));
    }
  });

  describe('sent again', () => {
    const [a, b, d] = events(3) as [EventData, EventData, EventData];
    const more = events(49);
    const last = event();
    const stream = newStream();
    let first: Awaited<ReturnType<typeof append>>;
    let second: Awaited<ReturnType<typeof append>>;

    beforeAll(async () => {
      first = await append(stream, [a, b], 'no_stream');
      expect(await append(stream, [a, b], 'no_stream')).toEqual(first);
      second = await append(stream, d, 1n);
      expect(await append(stream, [a, b], 'no_stream')).toEqual(first);
      await append(stream, [...more, last], 2n);
    });

    test('get the same answer again', async () => {
      const recorded = await read(stream);
      expect(await append(stream, [a, b], 'no_stream')).toEqual(first);
      expect(await append(stream, a, 'no_stream')).toMatchObject({
        nextExpectedRevision: 0n,
        position: recorded[0]?.position,
      });
      expect(await append(stream, a, 'any')).toMatchObject({
        nextExpectedRevision: 0n,
        position: recorded[0]?.position,
      });
      expect(await append(stream, b, 0n)).toMatchObject({ nextExpectedRevision: 1n, position: recorded[1]?.position });
      for (const expected of [1n, 'any', 'stream_exists'] as const)
        expect(await append(stream, d, expected)).toEqual(second);
      expect(await append(stream, [...more, last], 2n)).toMatchObject({ nextExpectedRevision: 52n });
      expect(await revisions(stream)).toHaveLength(53);
    });

    test('with other types and data succeed, and the old ones stay', async () => {
      const others = [event('Closed', { text: 'y' }, a.id), event('Closed', { text: 'y' }, b.id)];
      expect(await append(stream, others, 'no_stream')).toEqual(first);
      expect((await read(stream, { maxCount: 1 }))[0]).toMatchObject({ type: 'Opened', data: { text: 'x' } });
    });

    test('in another order, or with a new event after them, are refused', async () => {
      const refused: [EventData[], 'no_stream' | 'any' | bigint][] = [
        [[b], 'no_stream'],
        [[b, a], 'no_stream'],
        [[a, b, event()], 'no_stream'],
        [[last, event()], 'any'],
        [[last, event()], 51n],
      ];
      for (const [resent, expected] of refused) {
        await expect(append(stream, resent, expected)).rejects.toEqual(wrongVersion(stream, expected, 52n));
      }
      expect(await revisions(stream)).toHaveLength(53);
    });

    test('twice in one append, or to another stream, are written', async () => {
      const one = event();
      const [here, there] = [newStream(), newStream()];
      expect(await append(here, [one, one])).toMatchObject({ nextExpectedRevision: 1n });
      await append(there, one);
      expect((await read(here)).map(({ id }) => id)).toEqual([one.id, one.id]);
      expect((await read(there)).map(({ id }) => id)).toEqual([one.id]);
    });
  });

  test('of no events succeed without making a stream, if the revision is right', async () => {
    const stream = newStream();
    expect(await append(stream, [])).toMatchObject({
      success: true,
      nextExpectedRevision: 0n,
      position: expect.anything() as object,
    });
    await expect(read(stream)).rejects.toEqual(failure('stream-not-found'));
    const { stream: existing } = await streamOf(1);
    await expect(append(existing, [], 7n)).rejects.toEqual(wrongVersion(existing, 7n, 0n));
  });

  test('to a tombstoned stream are refused', async () => {
    const { stream } = await streamOf(1);
    await client.tombstoneStream(stream);
    for (const expected of ['any', 'no_stream', 0n] as const) {
      await expect(append(stream, event(), expected)).rejects.toEqual(
        expect.objectContaining({ type: 'stream-deleted', streamName: stream, code: path === unary ? 9 : undefined }),
      );
    }
  });

  test('of a negative revision are refused', async () => {
    await expect(append(newStream(), event(), -1n)).rejects.toEqual(
      failure('unknown', path === unary ? 13 : undefined),
    );
  });
});

describe('bad input', () => {
  test('on the unary path fails as an exception of the server, and the client goes on', async () => {
    const thrown = failure('unknown', 2, 'Exception was thrown by handler.');
    await expect(client.appendToStream(newStream(), event('Opened', {}, 'no-uuid'), unary)).rejects.toEqual(thrown);
    await expect(client.appendToStream(newStream(), event(''), unary)).rejects.toEqual(thrown);
    await expect(client.appendToStream('', event(), unary)).rejects.toEqual(thrown);
    await client.appendToStream(newStream(), event(), unary);
  });

  test('an empty stream name on the batch path is a bad request, and the client goes on', async () => {
    await expect(client.appendToStream('', event())).rejects.toEqual(
      failure('unknown', undefined, 'Could not recognize BadRequest'),
    );
    await client.appendToStream(newStream(), event());
  });

  // The server answers this append twice. The second response crashes the process in which the client runs, so this
  // client has its own process.
  test.each(['no-uuid', ''])(
    'on the batch path is answered twice, which ends the client (id or type %p)',
    async (bad) => {
      const program = `
      const { EventStoreDBClient, jsonEvent } = require('@eventstore/db-client');
      const client = EventStoreDBClient.connectionString(process.argv[1]);
      const bad = process.argv[2] === '' ? { type: '' } : { id: process.argv[2], type: 'Opened' };
      process.once('unhandledRejection', ({ message }) => { console.log(message); process.exit(0); });
      client.appendToStream('bad', jsonEvent({ ...bad, data: {} })).catch(({ message }) => console.log(message));`;
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, url, bad]);
      expect(stdout).toMatch(/^Could not recognize BadRequest\nundefined is not iterable/);
    },
  );

  test('throwOnAppendFailure=false on the batch path reports a wrong revision', async () => {
    const quiet = EventStoreDBClient.connectionString(`${url}&throwOnAppendFailure=false`);
    const { stream } = await streamOf(6);
    expect(await quiet.appendToStream(stream, event(), { expectedRevision: 0n })).toEqual({
      success: false,
      nextExpectedRevision: 1n,
      position: undefined,
    });
    await quiet.dispose();
  });
});

describe('reads of a stream', () => {
  test('fail on a missing stream, in both directions', async () => {
    const stream = newStream();
    for (const direction of [FORWARDS, BACKWARDS] as const) {
      const fromRevision = direction === FORWARDS ? START : END;
      await expect(read(stream, { direction, fromRevision })).rejects.toEqual(
        expect.objectContaining({ type: 'stream-not-found', streamName: stream, code: undefined }),
      );
    }
  });

  test('go in both directions, from the start, the end or a revision', async () => {
    const { stream } = await streamOf(3);
    expect(await revisions(stream)).toEqual([0n, 1n, 2n]);
    expect(await revisions(stream, { fromRevision: 1n })).toEqual([1n, 2n]);
    expect(await revisions(stream, { fromRevision: 1n, maxCount: 1 })).toEqual([1n]);
    expect(await revisions(stream, { direction: BACKWARDS, fromRevision: END })).toEqual([2n, 1n, 0n]);
    expect(await revisions(stream, { direction: BACKWARDS, fromRevision: END, maxCount: 1 })).toEqual([2n]);
    expect(await revisions(stream, { direction: BACKWARDS, fromRevision: 1n })).toEqual([1n, 0n]);
    expect(await revisions(stream, { direction: BACKWARDS, fromRevision: START })).toEqual([0n]);
  });

  test('from past the end give nothing forwards, and everything backwards', async () => {
    const { stream } = await streamOf(3);
    expect(await revisions(stream, { fromRevision: 3n })).toEqual([]);
    expect(await revisions(stream, { fromRevision: 1_000n })).toEqual([]);
    expect(await revisions(stream, { direction: BACKWARDS, fromRevision: 100n })).toEqual([2n, 1n, 0n]);
  });

  test('with a count of 0 fail', async () => {
    const { stream } = await streamOf(1);
    await expect(read(stream, { maxCount: 0 })).rejects.toEqual(failure('unknown', 2));
  });

  test('a soft deletion hides the events, and the numbers go on', async () => {
    const { stream } = await streamOf(3);
    await client.deleteStream(stream);
    await expect(read(stream)).rejects.toEqual(failure('stream-not-found'));
    await expect(read(stream, { direction: BACKWARDS, fromRevision: END })).rejects.toEqual(
      failure('stream-not-found'),
    );
    expect(await client.appendToStream(stream, event(), unary)).toMatchObject({ nextExpectedRevision: 3n });
    expect(await revisions(stream)).toEqual([3n]);
  });

  test('a stream that was deleted softly counts as missing for an append', async () => {
    const { stream } = await streamOf(2);
    await client.deleteStream(stream, { expectedRevision: 1n });
    const options = { ...unary, expectedRevision: 'no_stream' } as const;
    expect(await client.appendToStream(stream, event(), options)).toMatchObject({ nextExpectedRevision: 2n });
  });

  test('a tombstoned stream is gone', async () => {
    const { stream } = await streamOf(1);
    await client.tombstoneStream(stream);
    await expect(read(stream)).rejects.toEqual(
      expect.objectContaining({ type: 'stream-deleted', code: 9, streamName: stream }),
    );
  });

  test('$maxCount and $tb hide the older events', async () => {
    const { stream } = await streamOf(5);
    expect(await client.getStreamMetadata(stream)).toEqual({ streamName: stream });
    await client.setStreamMetadata(stream, { maxCount: 2 }, unary);
    expect(await client.getStreamMetadata(stream)).toMatchObject({ streamName: stream, metadata: { maxCount: 2 } });
    expect(await revisions(stream)).toEqual([3n, 4n]);
    expect(await revisions(stream, { direction: BACKWARDS, fromRevision: END })).toEqual([4n, 3n]);
    await client.setStreamMetadata(stream, { truncateBefore: 4 }, unary);
    expect(await revisions(stream)).toEqual([4n]);
  });

  test('$maxAge hides the events that are older', async () => {
    const { stream } = await streamOf(2);
    await client.setStreamMetadata(stream, { maxAge: 3_600 }, unary);
    expect(await revisions(stream)).toEqual([0n, 1n]);
    await client.setStreamMetadata(stream, { maxAge: 1 }, unary);
    await eventually(
      () => revisions(stream),
      ({ length }) => length === 0,
    );
    await client.appendToStream(stream, event(), unary);
    expect(await revisions(stream)).toEqual([2n]);
    await client.setStreamMetadata(stream, {}, unary);
    expect(await revisions(stream)).toEqual([0n, 1n, 2n]);
  });

  test('events come back as they were written', async () => {
    const stream = newStream();
    const id = '6F9619FF-8B86-5011-B42D-00C04FC964FF';
    await client.appendToStream(
      stream,
      jsonEvent({ id, type: 'Opened', data: { at: new Date(0), n: -0, u: undefined, x: NaN } }),
      unary,
    );
    await client.appendToStream(
      stream,
      jsonEvent({ type: 'Opened', data: { a: [1] }, metadata: { $correlationId: 'c' } }),
      unary,
    );
    await client.appendToStream(stream, binaryEvent({ type: 'Opened', data: Buffer.from([0, 255]) }), unary);
    const [first, second, third] = await read(stream);
    expect(first).toEqual({
      streamId: stream,
      id: id.toLowerCase(),
      revision: 0n,
      type: 'Opened',
      data: { at: '1970-01-01T00:00:00.000Z', n: 0, x: null },
      metadata: undefined,
      isJson: true,
      created: expect.any(Date) as Date,
      position: expect.anything() as object,
    });
    expect(second).toMatchObject({ data: { a: [1] }, metadata: { $correlationId: 'c' } });
    expect(third).toMatchObject({ isJson: false });
    expect([...(third?.data as Uint8Array)]).toEqual([0, 255]);
  });

  test.each(['a/b#c d', '$system', 'ключ-键', 'x'.repeat(300)])('a stream may be named %p', async (name) => {
    const stream = `${name}-${randomUUID()}`;
    await client.appendToStream(stream, event(), unary);
    expect((await read(stream))[0]).toMatchObject({ streamId: stream });
  });
});

describe('positions', () => {
  test('of an append: read on from it forwards with its event, backwards and in a subscription without', async () => {
    const { stream, last: position } = await streamOf(2);
    await client.appendToStream(stream, event(), unary);
    const ours = (found: { streamId: string; revision: bigint }[]) =>
      found.filter(({ streamId }) => streamId === stream).map(({ revision }) => revision);
    expect(ours(await readAll(position))).toEqual([1n, 2n]);
    expect(ours(await readAll(position, { direction: BACKWARDS, maxCount: 2 }))).toEqual([0n]);
    expect(ours(await untilCaughtUp(subscribe({ fromPosition: position })))).toEqual([2n]);
  });

  test('an acknowledged event is the last of all, and carries its position in every read', async () => {
    const { stream, last } = await streamOf(1);
    const [found] = await readAll(END, { direction: BACKWARDS, maxCount: 1 });
    expect(found).toMatchObject({ streamId: stream, position: last });
    expect((await read(stream))[0]?.position).toEqual(last);
  });

  test('the whole log holds events of the system, too', async () => {
    await streamOf(1);
    expect((await readAll(START)).some(({ type }) => type.startsWith('$'))).toBe(true);
  });
});

describe('subscriptions', () => {
  const kind = randomUUID();
  const names = { wanted: `${kind}-wanted`, other: `${kind}-other` };

  beforeAll(async () => {
    await client.appendToStream(names.wanted, event(`Wanted-${kind}`), unary);
    await client.appendToStream(names.other, event(`Other-${kind}`), unary);
    await client.setStreamMetadata(names.other, { maxCount: 10 }, unary);
  });

  const filters: [string, Filter][] = [
    ['prefixes of stream names', streamNameFilter({ prefixes: ['none-', names.wanted] })],
    ['a regex of stream names', streamNameFilter({ regex: `^${kind}-w.*$` })],
    ['prefixes of types', eventTypeFilter({ prefixes: [`Wanted-${kind}`] })],
  ];

  test.each(filters)('are filtered by %s', async (_name, filter) => {
    const found = await untilCaughtUp(subscribe({ filter }));
    expect(found.map(({ streamId }) => streamId)).toEqual([names.wanted]);
  });

  test('leave out events of the system, when asked to', async () => {
    const found = await untilCaughtUp(subscribe({ filter: excludeSystemEvents() }));
    expect(found.filter(({ type }) => type.startsWith('$'))).toEqual([]);
    expect(found.filter(({ streamId }) => streamId.startsWith(kind))).toHaveLength(2);
  });

  test('confirm first, deliver existing events, say that they caught up, then deliver new events', async () => {
    const { stream } = await streamOf(2);
    const told: string[] = [];
    const subscription = subscribe({ filter: streamNameFilter({ prefixes: [stream] }) });
    subscription.once('confirmation', () => told.push('confirmation'));
    subscription.on('caughtUp', () => {
      told.push('caughtUp');
      void client.appendToStream(stream, event(), unary);
    });
    for await (const { event } of subscription) {
      told.push(String(event?.revision));
      if (event?.revision === 2n) await subscription.unsubscribe();
    }
    expect(told).toEqual(['confirmation', '0', '1', 'caughtUp', '2']);
  });

  test('to a stream start after a revision, and wait for a stream that is missing', async () => {
    const { stream } = await streamOf(3);
    const given = async (name: string, fromRevision: bigint | typeof START, count: number) => {
      const found = [];
      const subscription = client.subscribeToStream(name, { fromRevision });
      subscription.once('confirmation', () => void client.appendToStream(name, event(), unary));
      for await (const { event } of subscription) {
        found.push(event?.revision);
        if (found.length === count) await subscription.unsubscribe();
      }
      return found;
    };
    expect(await given(stream, 1n, 2)).toEqual([2n, 3n]);
    expect(await given(newStream(), START, 1)).toEqual([0n]);
  });

  test('a live one without a match gives checkpoints, too', async () => {
    const checkpoints: Position[] = [];
    const checkpointReached = (subscription: { unsubscribe(): Promise<void> }, position: Position) => {
      checkpoints.push(position);
      if (checkpoints.length === 3) void subscription.unsubscribe();
    };
    const filter = streamNameFilter({ prefixes: ['none-'], checkpointReached });
    const subscription = subscribe({ fromPosition: END, filter });
    subscription.once('caughtUp', () => void client.appendToStream(newStream(), events(100), unary));
    for await (const resolved of subscription) expect(resolved).toBeUndefined();
    expect(checkpoints.length).toBeGreaterThanOrEqual(3);
  });
});

/** The stand-in shows the behaviour of each version. A real server shows that of its own version. */
describe.each(isStandIn ? STAND_IN_VERSIONS : (['of its own'] as const))('on version %s', (version) => {
  let versioned: EventStore | undefined;
  let usual: { readonly url: string; readonly client: EventStoreDBClient };

  beforeAll(async () => {
    if (version === 'of its own') return;
    usual = { url, client };
    versioned = await startEventStore({ version });
    url = versioned.url;
    client = EventStoreDBClient.connectionString(url);
  });
  afterAll(async () => {
    if (!versioned) return;
    await client.dispose();
    await versioned.stop();
    ({ url, client } = usual);
  });

  /** What the servers before 24.10 show, what 24.10 and 25.0 show, and what later ones show. */
  const forms = <T>(before: T, since24_10: T, since25_1 = since24_10): T[] => {
    const all = { '23.10.8': before, '24.10.14': since24_10, '26.1.0': since25_1 };
    return version === 'of its own' ? Object.values(all) : [all[version]];
  };
  const outcomeOf = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

  test.each(paths)('an append on the %s path may hold 1 MiB of data, or more since 25.1', async (_name, path) => {
    const ofBytes = (bytes: number) => event('Opened', { text: 'x'.repeat(bytes - '{"text":""}'.length) });
    const outcome = async (events: EventData | EventData[]) =>
      outcomeOf(client.appendToStream(newStream(), events, path).then(() => 'accepted'));
    expect(await outcome(ofBytes(1_048_576 - 2 * 'Opened'.length))).toBe('accepted');
    expect(await outcome([ofBytes(400_000), ofBytes(400_000)])).toBe('accepted');
    const tooLarge = expect.objectContaining({
      type: 'maximum-append-size-exceeded',
      maxAppendSize: 1_048_576,
    }) as unknown;
    expect(forms<unknown>('accepted', tooLarge, 'accepted')).toContainEqual(await outcome(ofBytes(1_048_576)));
    for (const large of [
      [ofBytes(1_048_577)],
      [1, 2, 3].map(() => ofBytes(500_000)),
      [ofBytes(2 ** 21)],
      [ofBytes(5 * 2 ** 20)],
    ]) {
      expect(forms<unknown>(tooLarge, tooLarge, 'accepted')).toContainEqual(await outcome(large));
    }
  });

  test('positions where no record begins are refused, those beyond the end give nothing forwards', async () => {
    const { commit } = (await streamOf(1)).last;
    await streamOf(1);
    const between = { commit: commit + 1n, prepare: commit + 1n };
    await expect(readAll(between)).rejects.toEqual(failure('unknown', 2, 'Unexpected ReadAllResult: '));
    const refusals = forms(
      failure('unknown', 2, 'Exception was thrown by handler.'),
      failure('unknown', 3, 'Trying to read from an invalid position.'),
    );
    expect(refusals).toContainEqual(await outcomeOf(untilCaughtUp(subscribe({ fromPosition: between }))));
    const beyond = { commit: commit + 10_000_000n, prepare: commit + 10_000_000n };
    expect(await readAll(beyond)).toEqual([]);
    await expect(readAll(beyond, { direction: BACKWARDS })).rejects.toEqual(
      failure('unknown', 2, 'Unexpected ReadAllResult: Error'),
    );
  });

  test('a subscription from beyond the end brings what is appended from then on, or nothing', async () => {
    const { commit } = (await streamOf(1)).last;
    const beyond = { commit: commit + 10_000_000n, prepare: commit + 10_000_000n };
    const stream = newStream();
    const subscription = subscribe({ fromPosition: beyond, filter: streamNameFilter({ prefixes: [stream] }) });
    const found: unknown[] = [];
    subscription.on('data', ({ event }) => found.push(event?.revision));
    await new Promise((resolve) => subscription.once('confirmation', resolve));
    await client.appendToStream(stream, events(2), unary);
    // When another subscription has brought a later event, this one has brought all that it will bring.
    await client.appendToStream(newStream(), event(), unary);
    await untilCaughtUp(subscribe({ fromPosition: START }));
    if (!forms(true, false).includes(false)) while (found.length < 2) await endOfTurn();
    await subscription.unsubscribe();
    expect(forms<unknown[]>([0n, 1n], [])).toContainEqual(found);
  });

  test('a subscription to a missing stream is told that it has caught up, or is not', async () => {
    const stream = newStream();
    const told: string[] = [];
    const subscription = client.subscribeToStream(stream);
    subscription.on('caughtUp', () => told.push('caughtUp'));
    await new Promise((resolve) => subscription.once('confirmation', resolve));
    await client.appendToStream(stream, event(), unary);
    for await (const { event } of subscription) {
      told.push(String(event?.revision));
      await subscription.unsubscribe();
    }
    expect(forms('0', 'caughtUp')).toContain(told[0]);
  });

  test('subscriptions that search without a match give checkpoints, from which another goes on', async () => {
    const fromPosition = (await streamOf(1)).last;
    await client.appendToStream(newStream(), events(96), unary);
    const checkpoints: Position[] = [];
    const checkpointReached = (_: unknown, position: Position) => {
      checkpoints.push(position);
    };
    const none = streamNameFilter({ prefixes: ['none-'], checkpointReached });
    await untilCaughtUp(subscribe({ fromPosition, filter: none }));
    expect(forms(3, 4)).toContain(checkpoints.length);
    const [, second, third] = checkpoints;
    for (const { prepare } of [second, third] as Position[]) expect(prepare).toBe(0n);
    // A checkpoint comes after records 1, 33 and 65. On 24.10 and later, it is one record earlier, and brings its own
    // record again; the first one is the place that was asked for, and the last one comes before the end.
    for (const [place, after] of [
      [second, forms(33, 31)],
      [third, forms(65, 63)],
    ] as const) {
      const rest = (await untilCaughtUp(subscribe({ fromPosition: place ?? START }))).map(({ revision }) => revision);
      expect(after).toContain(Number(rest[0]));
      expect(rest).toEqual(rest.map((_, index) => BigInt(96 - rest.length + index)));
    }
  });

  test('subscriptions give checkpoints by window and interval while catching up, and one more since 24.10', async () => {
    const fromPosition = (await streamOf(1)).last;
    await client.appendToStream(newStream(), events(300), unary);
    const counted = async (window: number | undefined, checkpointInterval: number) => {
      let count = 0;
      const checkpointReached = () => {
        count++;
      };
      const search = window === undefined ? {} : { maxSearchWindow: window };
      const filter = eventTypeFilter({ prefixes: ['Opened'], ...search, checkpointInterval, checkpointReached });
      await untilCaughtUp(subscribe({ fromPosition, filter }));
      return count;
    };
    expect(forms(9, 10)).toContain(await counted(undefined, 1));
    expect(forms(30, 31)).toContain(await counted(10, 1));
    expect(forms(10, 11)).toContain(await counted(10, 3));
    expect(forms(0, 1)).toContain(await counted(32, 32));
  });

  test('a live subscription whose consumer is too slow is cut off, or gets everything; one that catches up is not', async () => {
    const slow = EventStoreDBClient.connectionString(`${url}&keepAliveInterval=10002`);
    const { stream } = await streamOf(1);
    const kilobytes = (count: number) =>
      Array.from({ length: count }, () => event('Opened', { text: 'x'.repeat(2_000) }));
    const many = async () => {
      for (let round = 0; round < 10; round++) await client.appendToStream(stream, kilobytes(400), unary);
    };
    const subscription = slow.subscribeToStream(stream);
    await new Promise((resolve) => subscription.once('caughtUp', resolve));
    await many();
    const readUpTo = async (last: bigint) => {
      for await (const { event } of subscription) if (event?.revision === last) await subscription.unsubscribe();
      return 'everything';
    };
    const cut = failure('timeout', 10, 'Operation timed out: Consumer too slow to handle event while live.');
    expect(forms<unknown>(cut, 'everything')).toContainEqual(await outcomeOf(readUpTo(4_000n)));
    const late = slow.subscribeToStream(stream);
    await new Promise((resolve) => late.once('confirmation', resolve));
    await many();
    for await (const { event } of late) if (event?.revision === 8_000n) await late.unsubscribe();
    await slow.dispose();
  });
});

test('a connection carries about a hundred streams; further ones wait', async () => {
  const crowded = EventStoreDBClient.connectionString(`${url}&keepAliveInterval=10003`);
  let confirmed = 0;
  const subscriptions = Array.from({ length: 130 }, () =>
    crowded.subscribeToStream(newStream()).on('confirmation', () => confirmed++),
  );
  await expect(crowded.appendToStream(newStream(), event(), { ...unary, deadline: 1_500 })).rejects.toEqual(
    failure('deadline-exceeded', 4),
  );
  expect([99, 100]).toContain(confirmed);
  await client.appendToStream(newStream(), event(), unary);
  await Promise.all(subscriptions.map((subscription) => subscription.unsubscribe()));
  await crowded.dispose();
});

test('a node tells the client that it leads', async () => {
  const [, address] = /esdb:\/\/([^?/]+)/.exec(url) ?? [];
  const found = EventStoreDBClient.connectionString(`esdb://${address},${address}?tls=false&nodePreference=leader`);
  await found.appendToStream(newStream(), event(), { ...unary, requiresLeader: true });
  await found.dispose();
});

const describeProcess = EVENTSTOREDB_URL === undefined ? describe : describe.skip;

describeProcess('the process', () => {
  let directory: string;
  let node: EventStore;
  let connected: EventStoreDBClient;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'event-store-'));
    node = await startEventStore({ file: join(directory, 'events.jsonl'), lingerMs: 300 });
    connected = EventStoreDBClient.connectionString(node.url);
  });

  afterEach(async () => {
    await connected.dispose();
    await node.stop();
    rmSync(directory, { recursive: true });
  });

  const count = (stream: string) => drained(connected.readStream(stream));

  test('killed: calls in flight and subscriptions fail, acknowledged events are there after a restart', async () => {
    const subscription = connected.subscribeToAll();
    await new Promise((resolve) => subscription.once('caughtUp', resolve));
    const cut = new Promise((_, reject) => subscription.on('error', reject));
    const acknowledged: string[] = [];
    const failures: unknown[] = [];
    const writers = Array.from({ length: 20 }, async (_, writer) => {
      try {
        for (let count = 0; ; count++) {
          const stream = `writer-${writer}-${count}`;
          await connected.appendToStream(stream, event(), unary);
          acknowledged.push(stream);
          if (acknowledged.length === 200) void node.kill();
        }
      } catch (error) {
        failures.push(error);
      }
    });
    await expect(cut).rejects.toEqual(failure('unavailable', 14));
    await Promise.all(writers);
    expect(failures).toEqual(failures.map(() => failure('unavailable', 14)));
    await node.kill();
    await expect(connected.appendToStream('down', event(), unary)).rejects.toEqual(failure('unavailable', 14));
    await node.restart();
    const found = new Set<string>();
    for await (const { event } of connected.readAll()) found.add(event?.streamId ?? '');
    expect(acknowledged.filter((stream) => !found.has(stream))).toEqual([]);
  });

  test('restarted: it knows the same positions and ids, and a subscription continues from its position', async () => {
    const first = event();
    const appended = await connected.appendToStream('account', [first, event()], unary);
    await node.kill();
    await node.restart();
    expect(await connected.appendToStream('account', first, { ...unary, expectedRevision: 'no_stream' })).toMatchObject(
      {
        nextExpectedRevision: 0n,
      },
    );
    const next = await connected.appendToStream('account', event(), { ...unary, expectedRevision: 1n });
    const subscription = connected.subscribeToAll({ fromPosition: positionOf(appended) });
    for await (const { event } of subscription) {
      expect(event?.position).toEqual(next.position);
      await subscription.unsubscribe();
    }
  });

  test('frozen: unary appends end at their deadline and are not written, reads wait and continue', async () => {
    await connected.appendToStream('account', event(), unary);
    node.freeze();
    const waiting = count('account');
    await expect(connected.appendToStream('account', event(), { ...unary, deadline: 300 })).rejects.toEqual(
      failure('deadline-exceeded', 4),
    );
    await endOfTurn(); // By the end of this turn of the event loop, the client has sent its cancellation.
    node.thaw();
    expect(await waiting).toBe(1);
    expect(await count('account')).toBe(1);
  });

  test('frozen: batch appends end after the thaw, past their deadline, and are not written', async () => {
    await connected.appendToStream('account', event());
    node.freeze();
    const late = connected.appendToStream('account', event(), { deadline: 200 });
    const unaryLate = connected.appendToStream('account', event(), { ...unary, deadline: 400 });
    await expect(unaryLate).rejects.toEqual(failure('deadline-exceeded', 4));
    await endOfTurn(); // By the end of this turn of the event loop, the client has sent its cancellation.
    node.thaw();
    await expect(late).rejects.toEqual(failure('deadline-exceeded'));
    expect(await count('account')).toBe(1);
  });

  test('terminated: new connections are refused, open ones served for a while, then cut without a status', async () => {
    const subscription = connected.subscribeToAll();
    await new Promise((resolve) => subscription.once('caughtUp', resolve));
    const cut = new Promise((_, reject) => subscription.on('error', reject));
    const refused = (async () => {
      for (;;) {
        const late = EventStoreDBClient.connectionString(
          `${node.url}&keepAliveInterval=${10_100 + Math.trunc(Math.random() * 1e6)}`,
        );
        await late.appendToStream('late', event(), unary);
      }
    })();
    const exited = node.terminate();
    await expect(refused).rejects.toEqual(failure('unavailable', 14));
    await connected.appendToStream('account', event(), unary);
    // The server may also close the connection before the client has read the end of the call.
    const ends = [
      failure('unknown', 13, 'Received RST_STREAM with code 0 (Call ended without gRPC status)'),
      ...(isStandIn ? [] : [failure('unavailable', 14)]),
    ];
    expect(ends).toContainEqual(await cut.catch((error: unknown) => error));
    expect(await exited).toBe(0);
  });

  describeOnStandIn('which is the stand-in,', () => {
    test('that is not running can’t be told anything', async () => {
      await node.kill();
      await expect(node.serveAgain()).rejects.toThrow('does not run');
    });

    test('that is told to refuse ends every call and subscription with the status, until it is told otherwise', async () => {
      await connected.appendToStream('account', event(), unary);
      const subscription = connected.subscribeToAll();
      await new Promise((resolve) => subscription.once('caughtUp', resolve));
      const cut = new Promise((_, reject) => subscription.on('error', reject));
      await node.refuse({ status: 16, message: 'UNAUTHENTICATED' });
      const refused = failure('access-denied', 16);
      await expect(cut).rejects.toEqual(refused);
      await expect(connected.appendToStream('account', event(), unary)).rejects.toEqual(refused);
      await expect(count('account')).rejects.toEqual(refused);
      await expect(drained(connected.subscribeToAll())).rejects.toEqual(refused);
      await node.serveAgain();
      await connected.appendToStream('account', event(), unary);
      expect(await count('account')).toBe(2);
    });

    test('killed in the midst of a write: half an append is dropped', async () => {
      await connected.appendToStream('account', event(), unary);
      await node.kill();
      const half = {
        stream: 'account',
        revision: 1,
        id: randomUUID(),
        type: 'Half',
        created: '0',
        data: '',
        metadata: '',
      };
      appendFileSync(join(directory, 'events.jsonl'), `${JSON.stringify(half)}\n{"stream":"acc`);
      await node.restart();
      expect(await count('account')).toBe(1);
      await connected.appendToStream('account', event(), { ...unary, expectedRevision: 0n });
      await node.kill();
      await node.restart();
      expect(await count('account')).toBe(2);
    });
  });
});
