import { randomUUID } from 'node:crypto';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { type EventLog, ForeignEvent, type LogBatch, LogUnavailable, type SubscribeOptions } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import type { RecordedEvent } from '#events';
import { describeOnStandIn, type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { eventually } from '../../../test/support/api/http.js';
import { newEvents } from '../../../test/support/events/new-events.js';

let store: EventStore;
let log: EventLog;
let other: EventStoreDBClient;
beforeEach(async () => {
  store = await startEventStore({ version: '24.10.14' });
  log = openEventStoreDbLog({ url: store.url });
  other = EventStoreDBClient.connectionString(`${store.url}&connectionName=another-application`);
});
afterEach(async () => {
  jest.restoreAllMocks();
  stop.abort();
  await following?.return?.();
  await log.close();
  await other.dispose();
  await store.stop();
});

const stream = `consumerClient-cc_${randomUUID()}`;
const credentials = { username: 'another', password: 'application' };
const ids = (events: readonly { eventId: string }[]) => events.map(({ eventId }) => eventId);
let stop = new AbortController();
let following: AsyncIterator<LogBatch, undefined> | undefined;

const follow = (options: Partial<SubscribeOptions> = {}): AsyncIterator<LogBatch, undefined> => {
  stop = new AbortController();
  const batches = log.subscribe({ signal: stop.signal, ...options })[Symbol.asyncIterator]();
  return (following = batches as AsyncIterator<LogBatch, undefined>);
};

const untilCaughtUp = async (following: AsyncIterator<LogBatch, undefined>) => {
  while ((await following.next()).value?.caughtUp !== true);
};

const appendOfAnother = (to: string, count: number) =>
  other.appendToStream(
    to,
    Array.from({ length: count }, () => jsonEvent({ type: 'Ordered', data: {} })),
    { credentials },
  );

/** Returns a function that waits until the subscription's buffer holds this many events. */
const watchBuffer = () => {
  const subscribing = jest.spyOn(EventStoreDBClient.prototype, 'subscribeToAll');
  return (atLeast: number) =>
    eventually(
      () => Promise.resolve((subscribing.mock.results[0]?.value as { readableLength: number }).readableLength),
      (length) => length >= atLeast,
    );
};

/**
 * Watches the looks of a subscription at the log's end: `sizes` has the largest number of events that each of their
 * reads asks for. After `hold`, looks wait for the server until the function that `hold` returns is called. If it is
 * called with an error, they fail.
 */
const watchLooks = () => {
  const sizes: number[] = [];
  let held: Promise<Error | undefined> | undefined;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- it is called with its client below
  const readAll = EventStoreDBClient.prototype.readAll;
  jest.spyOn(EventStoreDBClient.prototype, 'readAll').mockImplementation(function (this: EventStoreDBClient, options) {
    const read = readAll.call(this, options);
    if (options?.fromPosition !== 'end') return read;
    sizes.push(Number(options.maxCount));
    if (held) {
      const waiting = held;
      const iterate = read[Symbol.asyncIterator].bind(read);
      read[Symbol.asyncIterator] = async function* () {
        const failure = await waiting;
        if (failure) throw failure;
        yield* { [Symbol.asyncIterator]: iterate };
      };
    }
    return read;
  });
  const hold = () => {
    let release: (failure?: Error) => void = () => undefined;
    held = new Promise((resolve) => (release = resolve));
    return (failure?: Error) => {
      held = undefined;
      release(failure);
    };
  };
  const count = (atLeast: number) =>
    eventually(
      () => Promise.resolve(sizes.length),
      (length) => length >= atLeast,
    );
  return { sizes, hold, count };
};

describe('a subscription on a server that other applications share', () => {
  it('has caught up, and reads little, when another application writes thousands of events at once', async () => {
    await log.append(stream, 'none', newEvents(1));
    const following = follow();
    await untilCaughtUp(following);
    const next = following.next();
    for (let round = 0; round < 13; round++) await appendOfAnother('orders-1', 400);
    const { sizes, count } = watchLooks();
    // At most the look that was under way and the first one after the burst read many events.
    await count(5);
    expect(sizes.filter((size) => size > 32).length).toBeLessThanOrEqual(2);
    expect(sizes.slice(-1)).toEqual([32]);
    const events = newEvents(1);
    await log.append(stream, 0n, events);
    const { value } = await next;
    expect({ ids: ids(value?.events ?? []), caughtUp: value?.caughtUp }).toEqual({ ids: ids(events), caughtUp: true });
  });
});

describe('a subscription that looks at the log’s end', () => {
  it('says that it has caught up after many events that came during a look', async () => {
    const untilBuffered = watchBuffer();
    await log.append(stream, 'none', newEvents(1));
    const following = follow();
    await untilCaughtUp(following);
    const { hold, count } = watchLooks();
    const release = hold();
    await count(1);
    await log.append(stream, 0n, newEvents(200));
    await untilBuffered(128);
    let received = 0;
    while (received < 200) {
      const { value } = await following.next();
      received += value?.events.length ?? 0;
      expect(value?.caughtUp).toBe(false);
    }
    release();
    expect(await following.next()).toMatchObject({ value: { events: [], caughtUp: true } });
  });

  it('goes on if its first look fails after an event has come', async () => {
    const { position } = await log.append(stream, 'none', newEvents(1));
    const { hold, count } = watchLooks();
    const release = hold();
    const following = follow({ after: position });
    const first = following.next();
    await count(1);
    const events = newEvents(1);
    await log.append(stream, 0n, events);
    expect(ids((await first).value?.events ?? [])).toEqual(ids(events));
    release(new TypeError('The look failed'));
    expect(await following.next()).toMatchObject({ value: { events: [], caughtUp: true } });
    for (const revision of [1n, 2n]) {
      const later = newEvents(1);
      const next = following.next();
      await log.append(stream, revision, later);
      expect(ids((await next).value?.events ?? [])).toEqual(ids(later));
    }
  });
});

describeOnStandIn('a subscription that the server ends because its place is invalid', () => {
  it('is unavailable: the log was restored to an older state', async () => {
    await log.append(stream, 'none', newEvents(1));
    const following = follow();
    await untilCaughtUp(following);
    const next = following.next();
    await Promise.all([
      expect(next).rejects.toThrow(LogUnavailable),
      store.refuse({ status: 3, message: 'Trying to read from an invalid position' }),
    ]);
    await expect(log.readAll()).rejects.toThrow(LogUnavailable);
  });
});

describe('an event of ours that can’t be read', () => {
  it('comes with its error, and keeps no other event from the subscriber', async () => {
    const untilBuffered = watchBuffer();
    const following = follow();
    await untilCaughtUp(following);
    const events = newEvents(2);
    await log.append(stream, 'none', events);
    await appendOfAnother(stream, 1);
    await log.append(stream, 2n, newEvents(2));
    await untilBuffered(5);
    const received: readonly RecordedEvent[] = (await following.next()).value?.events ?? [];
    expect(ids(received).slice(0, 2)).toEqual(ids(events));
    expect(received.map(({ unreadable }) => unreadable)).toEqual([
      ...[undefined, undefined],
      new ForeignEvent(stream, 2n),
      ...[undefined, undefined],
    ]);
  });
});
