import { randomUUID } from 'node:crypto';
import { createGunzip, type Gunzip } from 'node:zlib';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import {
  type EventLog,
  eventsToNow,
  EventTooLarge,
  type LogBatch,
  LogUnavailable,
  MAX_APPEND_BYTES,
  RevisionConflict,
} from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import type { Position, RecordedEvent } from '#events';
import {
  describeOnStandIn,
  type EventStore,
  installedProgram,
  startEventStore,
} from '../../../test/servers/eventstoredb/event-store.js';
import { TcpProxy } from '../../../test/support/doubles/tcp-proxy.js';
import { newEvent, newEvents } from '../../../test/support/events/new-events.js';
import { LoadMeter } from '../../../test/support/load/load-meter.js';

let store: EventStore;
let log: EventLog;
beforeEach(async () => {
  store = await startEventStore({ liveBuffer: 200, lingerMs: 200 });
  log = openEventStoreDbLog({ url: store.url });
});
afterEach(async () => {
  jest.restoreAllMocks();
  await log.close();
  await store.stop();
});

const newStream = () => `consumerClient-cc_${randomUUID()}`;
const strong = { consistency: 'strong' } as const;
const ids = (events: readonly { eventId: string }[]) => events.map(({ eventId }) => eventId);
const newestSignal = () => new AbortController().signal;

describe('the connection string', () => {
  it.each([
    ...['mongodb://ann:secret@host', 'secret', 'esdb://', 'esdb://ann:secret@host?tls=false@'],
    ...['esdb://ann:se?cret@host', 'esdb://ann:se@cret@host', 'esdb://ann:se:cret@host', 'esdb://secret@host'],
    ...['esdb://ann:secret@host?tlsVerifyCert=false', 'esdb://ann:secret@host?tls=true&tls_verify_cert=false'],
    ...['esdb://ann:secret@host?tlss=false', 'esdb://ann:secret@host?tls=true&maxdiscover=1'],
  ])('that is malformed, or has options without effect, is refused without being shown: %s', (url) => {
    const printed = jest.spyOn(console, 'warn').mockImplementation();
    expect(() => openEventStoreDbLog({ url })).toThrow(TypeError);
    expect(() => openEventStoreDbLog({ url })).not.toThrow(/secret|cret/);
    expect(printed).not.toHaveBeenCalled();
    printed.mockRestore();
  });

  it.each(['kurrentdb', 'kurrent', 'kdb'])('may begin with %s://, and with discovery', async (scheme) => {
    const kurrent = openEventStoreDbLog({ url: store.url.replace('esdb', scheme) });
    const stream = newStream();
    await kurrent.append(stream, 'none', newEvents(1));
    await kurrent.close();
    expect(await log.readStream(stream)).toHaveLength(1);
    await openEventStoreDbLog({ url: `${scheme}+discover://ann:secret@host` }).close();
    expect(() => openEventStoreDbLog({ url: `${scheme}+other://ann:secret@host` })).toThrow(TypeError);
  });

  it('may spell options in every way that the driver accepts', async () => {
    const printed = jest.spyOn(console, 'warn').mockImplementation();
    await openEventStoreDbLog({
      url: 'esdb://ann:secret@host?TLS=true&gossip_timeout=3&node-preference=follower',
    }).close();
    expect(printed).not.toHaveBeenCalled();
    printed.mockRestore();
  });

  it('needs a user and a password if the connection is secure', async () => {
    expect(() => openEventStoreDbLog({ url: 'esdb://host:2113' })).toThrow(TypeError);
    await openEventStoreDbLog({ url: 'esdb+discover://ann:p%40ss@host:2113' }).close();
  });
});

it('is used for the leader only: a follower would forward appends and answer reads late', async () => {
  const methods = ['appendToStream', 'setStreamMetadata', 'readStream', 'readAll', 'subscribeToAll'] as const;
  const spies = methods.map((method) => jest.spyOn(EventStoreDBClient.prototype, method));
  const stream = newStream();
  const { position } = await log.append(stream, 'none', newEvents(1));
  await log.readStream(stream);
  await log.readStream(stream, strong);
  await log.readAll({ limit: 1 });
  await log.readAll({ limit: 1, ...strong });
  await log.eventAt(position);
  await log.end();
  await log.mark();
  for await (const batch of log.subscribe({ signal: newestSignal() })) if (batch.caughtUp) break;
  const askedOf = spies.map((spy) => spy.mock.calls.map((call) => (call as readonly unknown[]).find(saysWhom)));
  for (const [index, options] of askedOf.entries()) {
    expect({ method: methods[index], calls: options.length > 0 }).toEqual({ method: methods[index], calls: true });
    for (const option of options) expect(option).toMatchObject({ requiresLeader: true });
  }
  for (const spy of spies) spy.mockRestore();
});
const saysWhom = (argument: unknown) =>
  typeof argument === 'object' && argument !== null && 'requiresLeader' in argument;

describe('a server that does not answer', () => {
  it('is unavailable to all calls at the deadline, and is used again when it resumes', async () => {
    const stream = newStream();
    await log.append(stream, 'none', newEvents(1));
    await log.readStream(stream, strong);
    await log.readStream(stream);
    store.freeze();
    const deadlineMs = 400;
    const load = new LoadMeter();
    const startedAt = performance.now();
    const calls = [
      log.append(newStream(), 'none', newEvents(1), { deadlineMs }),
      log.readStream(stream, { deadlineMs }),
      log.readStream(stream, { ...strong, deadlineMs }),
      log.readAll({ deadlineMs }),
    ];
    for (const { status, reason } of await refusals(calls)) {
      expect(status).toBe('rejected');
      expect(reason).toBeInstanceOf(LogUnavailable);
    }
    expect(performance.now() - startedAt).toBeLessThan(2_000 * load.slowdown);
    load.stop();
    store.thaw();
    expect(await log.readStream(stream, strong)).toHaveLength(1);
    expect((await log.append(stream, 0n, newEvents(1))).revision).toBe(1n);
  });

  it('is unavailable at the deadline even if it was never reached', async () => {
    store.freeze();
    const deadlineMs = 400;
    const calls = [log.append(newStream(), 'none', newEvents(1), { deadlineMs }), log.readAll({ deadlineMs })];
    for (const { reason } of await refusals(calls)) expect(reason).toBeInstanceOf(LogUnavailable);
    store.thaw();
    await log.append(newStream(), 'none', newEvents(1));
  });
});

describe('a server that is down', () => {
  it('is unavailable at the deadline, and serves the same log when it is back', async () => {
    const stream = newStream();
    await log.append(stream, 'none', newEvents(1));
    await store.kill();
    const deadlineMs = 300;
    const calls = [
      log.append(stream, 0n, newEvents(1), { deadlineMs }),
      log.readStream(stream, { ...strong, deadlineMs }),
      log.readAll({ deadlineMs }),
    ];
    for (const { reason } of await refusals(calls)) expect(reason).toBeInstanceOf(LogUnavailable);
    const waiting = [log.append(stream, 0n, newEvents(1)), log.append(newStream(), 'none', newEvents(1))];
    const reading = log.readStream(stream, strong);
    await store.restart();
    await Promise.all(waiting);
    expect((await reading).length).toBeGreaterThan(0);
    expect(await log.readStream(stream, strong)).toHaveLength(2);
  });

  it('may have written the last append: sent again unchanged, its events are there once', async () => {
    const proxy = await TcpProxy.start(() => store.port);
    const remote = openEventStoreDbLog({ url: `esdb://127.0.0.1:${proxy.port}?tls=false` });
    try {
      const stream = newStream();
      await remote.append(newStream(), 'none', newEvents(1));
      proxy.hold();
      const events = newEvents(3);
      const appending = remote.append(stream, 'none', events);
      while ((await log.readStream(stream, strong)).length === 0);
      await log.append(stream, 2n, newEvents(1));
      proxy.cut();
      const [, , last] = await log.readStream(stream, strong);
      expect(await appending).toEqual({ revision: 2n, position: last?.position });
      expect(ids(await log.readStream(stream, { ...strong, limit: 3 }))).toEqual(ids(events));
      await expect(remote.append(stream, 2n, newEvents(1))).rejects.toThrow(RevisionConflict);
      expect(await log.readStream(stream, strong)).toHaveLength(4);
    } finally {
      await remote.close();
      await proxy.stop();
    }
  });
});

describe('many callers', () => {
  // Calls that block each other never end. How long so many calls take depends on the machine.
  beforeEach(async () => {
    await log.close();
    log = openEventStoreDbLog({ url: store.url, deadlineMs: 120_000 });
  });

  it('never block each other, however many there are', async () => {
    const stream = newStream();
    await log.append(stream, 'none', newEvents(1));
    const controllers = Array.from({ length: 85 }, () => new AbortController());
    const followers = controllers.map(({ signal }) => follower(signal));
    await Promise.all(followers.map(({ caughtUp }) => caughtUp));
    const streams = Array.from({ length: 250 }, newStream);
    await Promise.all([
      ...streams.map((one) => log.append(one, 'none', newEvents(1))),
      ...streams.map(() => log.readAll({ limit: 1 })),
      ...streams.map(() => log.readStream(stream)),
      ...streams.map((one) => log.readStream(one, strong)),
    ]);
    for (const one of streams.slice(-5)) expect(await log.readStream(one, strong)).toHaveLength(1);
    for (const controller of controllers) controller.abort();
    await Promise.all(followers.map(({ ended }) => ended));
  });

  it('that leave their reads early leave no stream open', async () => {
    const large = newEvents(150).map((event) => ({ ...event, data: { text: 'x'.repeat(5_000) } }));
    await log.append(newStream(), 'none', large);
    const connecting = jest.spyOn(EventStoreDBClient, 'connectionString');
    const callers = Array.from({ length: 150 }, () => log.readAll({ limit: 1 }));
    for (const events of await Promise.all(callers)) expect(events).toHaveLength(1);
    // If a connection had been blocked, the log would have replaced the connection and created another client.
    expect(connecting).toHaveBeenCalledTimes(1);
    connecting.mockRestore();
  });

  it('are sent to the server a bounded number at a time', async () => {
    const open = new Set<unknown>();
    let most = 0;
    const connect = EventStoreDBClient.connectionString.bind(EventStoreDBClient);
    const connecting = jest.spyOn(EventStoreDBClient, 'connectionString').mockImplementation((url) => {
      const client = connect(url);
      const readAll = client.readAll.bind(client);
      jest.spyOn(client, 'readAll').mockImplementation((...args) => {
        const read = readAll(...args);
        open.add(read.once('close', () => open.delete(read)));
        most = Math.max(most, open.size);
        return read;
      });
      return client;
    });
    await Promise.all(Array.from({ length: 200 }, () => log.readAll()));
    connecting.mockRestore();
    expect(most).toBeGreaterThan(20);
    expect(most).toBeLessThan(100);
  });
});

describe('a subscription', () => {
  it.each([
    ['is killed', () => store.kill()],
    ['is told to stop', () => store.terminate()],
  ])('is unavailable when its server %s, and can continue after the last handled event', async (_, end) => {
    const before = newEvents(3);
    const stream = newStream();
    await log.append(stream, 'none', before);
    const seen: RecordedEvent[] = [];
    let ending: Promise<unknown> | undefined;
    const following = (async () => {
      for await (const { events, caughtUp } of log.subscribe({ signal: newestSignal() })) {
        seen.push(...events);
        if (caughtUp) ending ??= end();
      }
    })();
    await expect(following).rejects.toThrow(LogUnavailable);
    await ending;
    await store.restart();
    const later = newEvents(2);
    await log.append(stream, 2n, later);
    for await (const { events, caughtUp } of log.subscribe({ ...after(seen), signal: newestSignal() })) {
      seen.push(...events);
      if (caughtUp) break;
    }
    expect(ids(seen)).toEqual(ids([...before, ...later]));
  });

  it('of a slow reader is cut off by the server, and loses and repeats no event', async () => {
    const cut = jest.spyOn(EventStoreDBClient.prototype, 'subscribeToAll');
    const [stream, written]: [string, string[]] = [newStream(), []];
    const append = async (count: number) => {
      const events = newEvents(count).map((event) => ({ ...event, data: { text: 'x'.repeat(2_000) } }));
      await log.append(stream, written.length === 0 ? 'none' : BigInt(written.length - 1), events);
      written.push(...ids(events));
    };
    await append(1);
    const seen: RecordedEvent[] = [];
    let largest = 0;
    for await (const { events, caughtUp } of log.subscribe({ signal: newestSignal(), batchSize: 50 })) {
      largest = Math.max(largest, events.length);
      seen.push(...events);
      // At first, the subscriber has received all events. Before the subscriber asks for the next batch, 3000 events
      // are written here.
      if (caughtUp && written.length === 1) for (let round = 0; round < 10; round++) await append(300);
      if (seen.length === 3_001) break;
    }
    expect(ids(seen)).toEqual(written);
    expect(largest).toBeLessThanOrEqual(50);
    // Servers from 24.10 on don't cut it off.
    if (installedProgram() === undefined) expect(cut.mock.calls.length).toBeGreaterThan(1);
    cut.mockRestore();
  });

  it('of a slow reader that the server does not cut off is not told that it has caught up while it is behind', async () => {
    const patient = await startEventStore({ version: '24.10.14' });
    const followed = openEventStoreDbLog({ url: patient.url });
    try {
      const [stream, written]: [string, string[]] = [newStream(), []];
      const append = async (count: number) => {
        const events = newEvents(count).map((event) => ({ ...event, data: { text: 'x'.repeat(2_000) } }));
        await followed.append(stream, written.length === 0 ? 'none' : BigInt(written.length - 1), events);
        written.push(...ids(events));
      };
      await append(1);
      const seen: RecordedEvent[] = [];
      const toldAt: number[] = [];
      for await (const { events, caughtUp } of followed.subscribe({ signal: newestSignal(), batchSize: 50 })) {
        seen.push(...events);
        if (caughtUp) toldAt.push(seen.length);
        if (caughtUp && written.length === 1) for (let round = 0; round < 10; round++) await append(300);
        else if (caughtUp) break;
      }
      expect(ids(seen)).toEqual(written);
      expect(toldAt).toEqual([1, 3_001]);
    } finally {
      await followed.close();
      await patient.stop();
    }
  });

  it('from a place that the log does not have (any more) is refused, because it would bring nothing', async () => {
    const stream = newStream();
    const { position } = await log.append(stream, 'none', newEvents(1));
    const beyond = String(BigInt(position) + 1_000_000n).padStart(20, '0');
    const following = log.subscribe({ after: beyond, signal: newestSignal() })[Symbol.asyncIterator]();
    await expect(following.next()).rejects.toThrow(LogUnavailable);
    await expect(eventsToNow(log, { after: beyond }).next()).rejects.toThrow(LogUnavailable);
    for await (const { caughtUp } of log.subscribe({ after: position, signal: newestSignal() })) if (caughtUp) break;
  });

  it('that waits for its server ends when its signal aborts', async () => {
    store.freeze();
    const controller = new AbortController();
    const { ended } = follower(controller.signal);
    controller.abort();
    store.thaw();
    await ended;
  });
});

describe('a place in the log', () => {
  it('at which no event begins can still be read from', async () => {
    const stream = newStream();
    const positions = [];
    for (let revision = -1n; revision < 3n; revision++) {
      const appended = await log.append(stream, revision < 0n ? 'none' : revision, newEvents(1));
      positions.push(appended.position);
    }
    const [first = '', second = '', , last = ''] = positions;
    const between = String(BigInt(second) + 1n).padStart(20, '0');
    const read = async (direction: 'forwards' | 'backwards', place: Position) =>
      (await log.readAll({ after: place, direction })).map(({ position }) => position);
    expect(await read('forwards', between)).toEqual(positions.slice(2));
    expect(await read('backwards', between)).toEqual([second, first]);
    expect(await read('forwards', '9'.repeat(20))).toEqual([]);
    expect(await read('forwards', last)).toEqual([]);
    await expect(log.readAll({ after: 'first' })).rejects.toThrow(TypeError);
  });

  it('is found even if many events of other applications follow it', async () => {
    const [stream, foreign] = [newStream(), EventStoreDBClient.connectionString(store.url)];
    const { position } = await log.append(stream, 'none', newEvents(1));
    const options = { credentials: { username: 'another', password: 'application' } };
    for (let round = 0; round < 5; round++) {
      await foreign.appendToStream(
        'orders-1',
        Array.from({ length: 400 }, () => jsonEvent({ type: 'Ordered', data: {} })),
        options,
      );
    }
    expect((await log.readAll({ direction: 'backwards', limit: 1 }))[0]?.position).toBe(position);
    const batches: LogBatch[] = [];
    for await (const batch of log.subscribe({ after: position, signal: newestSignal() })) {
      batches.push(batch);
      if (batch.caughtUp) break;
    }
    expect(batches).toEqual([{ events: [], caughtUp: true }]);
  });
});

describeOnStandIn('a server that compresses its answers', () => {
  it('is asked not to, in every call: compression makes long reads slow', async () => {
    const compressing = await startEventStore({ version: '26.1.0' });
    const unpacking = jest.spyOn(Object.getPrototypeOf(createGunzip()) as Gunzip, 'write');
    const asked = openEventStoreDbLog({ url: compressing.url });
    try {
      const stream = newStream();
      const { position } = await asked.append(stream, 'none', newEvents(2));
      expect(await asked.readStream(stream)).toHaveLength(2);
      expect(await asked.readStream(stream, strong)).toHaveLength(2);
      expect(await asked.readAll()).toHaveLength(2);
      expect(await asked.end()).toBe(position);
      for await (const { caughtUp } of asked.subscribe({ signal: newestSignal() })) if (caughtUp) break;
      expect(unpacking).not.toHaveBeenCalled();
      // A client that accepts gzip shows that the server does compress.
      for await (const { event } of EventStoreDBClient.connectionString(compressing.url).readStream(stream))
        expect(event?.streamId).toBe(stream);
      expect(unpacking).toHaveBeenCalled();
    } finally {
      unpacking.mockRestore();
      await asked.close();
      await compressing.stop();
    }
  });
});

const sized = (bytes: number) => newEvent({ data: { text: 'x'.repeat(bytes) } });

describeOnStandIn('an append that the server finds too large or invalid', () => {
  it('is told at once, without being sent again, and nothing is written', async () => {
    const strict = await startEventStore({ maxEventBytes: 500_000 });
    // The longer a fence is good, the fewer appends need another call, also on a busy machine.
    const limited = openEventStoreDbLog({ url: strict.url, fenceMaxAgeMs: 60_000 });
    const sent = jest.spyOn(EventStoreDBClient.prototype, 'appendToStream');
    const sentTo = (stream: string) => sent.mock.calls.filter(([to]) => to === stream).length;
    try {
      const [large, invalid] = [newStream(), newStream()];
      await expect(limited.append(large, 'none', [sized(500_000)])).rejects.toThrow(EventTooLarge);
      expect(sentTo(large)).toBe(1);
      await limited.append(large, 'none', [sized(400_000)]);
      await strict.refuse({ status: 3, message: 'What this version does not take' });
      const refused = await limited.append(large, 0n, newEvents(1)).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(Error);
      expect(refused).not.toBeInstanceOf(LogUnavailable);
      expect(String(refused)).toContain(`EventStoreDB finds an append to ${large} invalid`);
      expect(sentTo(large)).toBe(3);
      expect(sentTo(invalid)).toBe(0);
    } finally {
      sent.mockRestore();
      await limited.close();
      await strict.stop();
    }
  });
});

describe('an append that is too large', () => {
  it('is split if it holds parts of a snapshot, which keep their numbers', async () => {
    const small = await startEventStore({ maxAppendBytes: 10_000 });
    const limited = openEventStoreDbLog({ url: small.url });
    try {
      const parts = Array.from({ length: 8 }, (_, number) => String(number).repeat(3_000));
      expect(await limited.snapshots.writeParts('v1', parts.slice(0, 1))).toBe(0);
      expect(await limited.snapshots.writeParts('v1', parts)).toBe(1);
      for (const [number, part] of parts.entries())
        expect(await limited.snapshots.readPart('v1', number + 1)).toBe(part);
      await expect(limited.snapshots.writeParts('v1', ['x'.repeat(10_000)])).rejects.toThrow(LogUnavailable);
    } finally {
      await limited.close();
      await small.stop();
    }
  });

  it('is never one that the log takes, also where the server counts metadata and types', async () => {
    const counting = await startEventStore({ version: '24.10.14' });
    const limited = openEventStoreDbLog({ url: counting.url });
    try {
      const stream = newStream();
      const { type, metadata } = sized(0);
      const most = MAX_APPEND_BYTES - JSON.stringify({ text: '' }).length - JSON.stringify(metadata).length;
      await limited.append(stream, 'none', [sized(most - 2 * type.length)]);
      await expect(log.append(newStream(), 'none', [sized(most - 2 * type.length + 1)])).rejects.toThrow(EventTooLarge);
    } finally {
      await limited.close();
      await counting.stop();
    }
  });
});

describe('an event of ours', () => {
  it('that this application can’t have written fails loudly', async () => {
    const stream = newStream();
    const options = { credentials: { username: 'another', password: 'application' } };
    await EventStoreDBClient.connectionString(store.url).appendToStream(
      stream,
      jsonEvent({ type: 'Ordered', data: {} }),
      options,
    );
    await expect(log.readStream(stream)).rejects.toThrow(`Event 0 of ${stream}`);
    await expect(log.readStream(stream, strong)).rejects.not.toBeInstanceOf(LogUnavailable);
    await log.append(newStream(), 'none', [newEvent()]);
  });
});

const after = (events: readonly RecordedEvent[]) => {
  const last = events.at(-1);
  return last && { after: last.position };
};

const refusals = async (calls: Promise<unknown>[]): Promise<{ status: string; reason: unknown }[]> =>
  (await Promise.allSettled(calls)).map((outcome) => ({ reason: undefined, ...outcome }));

/** Starts a loop that reads the log until the signal aborts. */
const follower = (signal: AbortSignal) => {
  let report: () => void = () => undefined;
  const caughtUp = new Promise<void>((resolve) => (report = resolve));
  const ended = (async () => {
    for await (const batch of log.subscribe({ signal })) if (batch.caughtUp) report();
  })();
  return { caughtUp, ended };
};
