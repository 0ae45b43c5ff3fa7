import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { EventStoreDBClient } from '@eventstore/db-client';
import { ClockApart, type EventLog, HistoryMissing, isOurStream, requireCommonClock } from '#event-log';
import { type ConnectionPurpose, EventStoreDbLog, openEventStoreDbLog } from '#event-log/eventstoredb';
import type { RecordedEvent } from '#events';
import { type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { suspendedFor } from '../../../test/support/doubles/suspension.js';
import { TcpProxy } from '../../../test/support/doubles/tcp-proxy.js';
import { newEvents } from '../../../test/support/events/new-events.js';

let store: EventStore;
let proxy: TcpProxy;
let others: EventLog;
beforeAll(async () => {
  store = await startEventStore();
  proxy = await TcpProxy.start(() => store.port);
  others = openEventStoreDbLog({ url: store.url });
});
afterAll(async () => {
  await others.close();
  await proxy.stop();
  await store.stop();
});

const credentials = { username: 'a', password: 'test' };
const newStream = () => `consumerClient-cc_${randomUUID()}`;
const strong = { consistency: 'strong' } as const;

let clients = 0;
const clientTo = (port: number): EventStoreDBClient =>
  EventStoreDBClient.connectionString(
    `esdb://127.0.0.1:${port}?tls=false&connectionName=a-test&keepAliveInterval=${20_000 + clients++}`,
  );

const until = async (isSo: () => boolean) => {
  while (!isSo()) await delay(2);
};

/**
 * Opens a log whose strong reads (reads that are never outdated) go through the proxy. All other calls bypass the
 * proxy. `asked` records the reads and fences that the log sends by the driver's clients for strong reads, and
 * `streamsRead` the names in all these reads.
 */
const openLog = ({
  fenceMaxAgeMs = 60_000,
  strongClient = () => clientTo(proxy.port),
  aheadMs = (): number => 0,
} = {}) => {
  const processName = randomUUID();
  const asked: { client: number; call: 'fence' | 'read' }[] = [];
  const streamsRead: string[] = [];
  let strongClients = 0;
  const createClient = (purpose: ConnectionPurpose) => {
    if (purpose !== 'strong reads') return clientTo(store.port);
    const client = strongClient();
    const number = ++strongClients;
    const [appendToStream, readStream] = [client.appendToStream.bind(client), client.readStream.bind(client)];
    jest.spyOn(client, 'appendToStream').mockImplementation((stream, ...rest) => {
      if (stream === `fence-${processName}`) asked.push({ client: number, call: 'fence' });
      return appendToStream(stream, ...rest);
    });
    jest.spyOn(client, 'readStream').mockImplementation((stream, ...rest) => {
      streamsRead.push(stream);
      // Three kinds of reads are not recorded: reads of stream `log`, by which appends look for a seal, reads of a
      // fence, by which the clocks are compared, and reads of metadata, which show that a missing stream never existed.
      const isRecorded = stream !== 'log' && stream !== `fence-${processName}` && !stream.startsWith('$$');
      if (isRecorded) asked.push({ client: number, call: 'read' });
      return readStream(stream, ...rest);
    });
    return client;
  };
  const log = new EventStoreDbLog({
    ...{ createClient, credentials, processName, fenceMaxAgeMs },
    wallClock: () => Date.now() + aheadMs(),
  });
  const count = (call: 'fence' | 'read') => asked.filter((one) => one.call === call).length;
  return { log, asked, streamsRead, count, fenceStream: `fence-${processName}` };
};

const withLog = async (
  options: Parameters<typeof openLog>[0],
  use: (opened: ReturnType<typeof openLog>) => Promise<void>,
) => {
  const opened = openLog(options);
  try {
    await use(opened);
  } finally {
    await opened.log.close();
  }
};

type Read = (stream: string) => Promise<readonly RecordedEvent[]>;

/**
 * Returns how many events the reads find. The read `early` begins before the second append. The two reads `late` begin
 * after the second append, while `early` is still running.
 */
async function readWhileOneIsUnderWay(read: Read): Promise<{ early: number; late: readonly number[] }> {
  const stream = newStream();
  await others.append(stream, 'none', newEvents(1));
  await read(stream);
  proxy.hold();
  const early = read(stream);
  await proxy.waitForHeldAnswer();
  await others.append(stream, 0n, newEvents(1));
  const late = [read(stream), read(stream)];
  proxy.release();
  return { early: (await early).length, late: (await Promise.all(late)).map(({ length }) => length) };
}

/** Shares strong reads in a wrong way: a caller that arrives during a read gets the result of that read. */
const joiningRunningReads = (log: EventLog): Read => {
  const running = new Map<string, ReturnType<Read>>();
  return (stream) => {
    const read = running.get(stream) ?? log.readStream(stream, strong).finally(() => running.delete(stream));
    running.set(stream, read);
    return read;
  };
};

afterEach(() => jest.restoreAllMocks());

describe('a fence', () => {
  it('is too old after a suspension of the virtual machine, during which the monotonic clock stands still', async () => {
    let suspendedMs = 0;
    await withLog({ aheadMs: () => -suspendedMs }, async ({ log, count }) => {
      await log.readStream(newStream(), strong);
      expect(count('fence')).toBe(1);
      suspendedMs = 60_000;
      suspendedFor(suspendedMs);
      await log.readStream(newStream(), strong);
      expect(count('fence')).toBe(2);
    });
  });
});

describe('a strong read', () => {
  it('never takes the answer of a read that was sent before its caller arrived', async () => {
    await withLog({}, async ({ log, count }) => {
      const read: Read = (stream) => log.readStream(stream, strong);
      expect(await readWhileOneIsUnderWay(read)).toEqual({ early: 1, late: [2, 2] });
      expect(count('read')).toBe(3);
    });
  });

  it('would be outdated if callers joined running reads', async () => {
    await withLog({}, async ({ log }) => {
      expect(await readWhileOneIsUnderWay(joiningRunningReads(log))).toEqual({ early: 1, late: [1, 1] });
    });
  });

  it('does not wait until an equal read that was sent before has been answered', async () => {
    await withLog({}, async ({ log, count }) => {
      const stream = newStream();
      await log.append(stream, 'none', newEvents(1));
      await log.readStream(stream, strong);
      proxy.hold();
      const reads = [log.readStream(stream, strong), log.readStream(stream, strong)];
      await until(() => count('read') === 3);
      proxy.release();
      expect((await Promise.all(reads)).map(({ length }) => length)).toEqual([1, 1]);
    });
  });

  it('of a stream that is probably missing asks together with the read whether the stream was deleted', async () => {
    await withLog({}, async ({ log, streamsRead }) => {
      const [stream, found, deleted] = [newStream(), newStream(), newStream()];
      const read = (name: string) => log.readStream(name, { ...strong, isProbablyMissing: true });
      await log.append(found, 'none', newEvents(2));
      await log.append(deleted, 'none', newEvents(2));
      await clientTo(store.port).deleteStream(deleted);
      proxy.hold();
      const reading = read(stream);
      await until(() => [stream, `$$${stream}`].every((name) => streamsRead.includes(name)));
      proxy.release();
      expect(await reading).toEqual([]);
      expect(await read(found)).toHaveLength(2);
      await expect(read(deleted)).rejects.toThrow(HistoryMissing);
    });
  });

  it('is shared only by callers that arrived before it was sent', async () => {
    await withLog({}, async ({ log, count }) => {
      const [stream, other] = [newStream(), newStream()];
      await log.append(stream, 'none', newEvents(3));
      const same = await Promise.all(Array.from({ length: 50 }, () => log.readStream(stream, strong)));
      for (const events of same) expect(events).toHaveLength(3);
      expect(new Set(same).size).toBe(50);
      expect(count('read')).toBeLessThanOrEqual(2);
      const before = count('read');
      const different = await Promise.all([
        log.readStream(stream, { ...strong, from: 1n }),
        log.readStream(stream, { ...strong, limit: 1 }),
        log.readStream(stream, { ...strong, direction: 'backwards', limit: 2 }),
        log.readStream(other, strong),
      ]);
      expect(different.map((events) => events.map(({ revision }) => revision))).toEqual([[1n, 2n], [0n], [2n, 1n], []]);
      expect(count('read') - before).toBe(4);
    });
  });
});

describe('the fence', () => {
  afterEach(() => jest.restoreAllMocks());

  it('is shared by all waiting callers, and serves later ones while it is young', async () => {
    await withLog({}, async ({ log, count }) => {
      await Promise.all(Array.from({ length: 30 }, () => log.readStream(newStream(), strong)));
      for (let read = 0; read < 10; read++) await log.readStream(newStream(), strong);
      expect(count('fence')).toBe(1);
      await log.readStream(newStream());
      await log.append(newStream(), 'none', newEvents(1));
      expect(count('fence')).toBe(1);
    });
  });

  it('is renewed before it is too old, so that no later read waits for one', async () => {
    await withLog({ fenceMaxAgeMs: 400 }, async ({ log, count }) => {
      await log.readStream(newStream(), strong);
      await until(() => count('fence') === 3);
      expect(count('read')).toBe(1);
    });
  });

  it('that is too old when the answer arrives does not count: another one is appended, and the stream is read again', async () => {
    let suspendedMs = 0;
    await withLog({ aheadMs: () => -suspendedMs }, async ({ log, count }) => {
      const stream = newStream();
      await log.append(stream, 'none', newEvents(1));
      await log.readStream(stream, strong);
      proxy.hold();
      const reading = log.readStream(stream, strong);
      await proxy.waitForHeldAnswer();
      await others.append(stream, 0n, newEvents(1));
      suspendedMs = 60_000;
      suspendedFor(suspendedMs);
      proxy.release();
      expect(await reading).toHaveLength(2);
      expect([count('fence'), count('read')]).toEqual([2, 3]);
    });
  });

  it('that began before the caller arrived does not count at a maximum age of 0, and one runs at a time', async () => {
    await withLog({ fenceMaxAgeMs: 0 }, async ({ log, asked, count }) => {
      for (let read = 0; read < 3; read++) await log.readStream(newStream(), strong);
      expect(asked.map(({ call }) => call)).toEqual(['fence', 'read', 'fence', 'read', 'fence', 'read']);

      proxy.hold();
      const first = log.readStream(newStream(), strong);
      await until(() => count('fence') === 4);
      const later = Array.from({ length: 20 }, () => log.readStream(newStream(), strong));
      proxy.release();
      await Promise.all([first, ...later]);
      expect(count('fence')).toBe(5);
    });
  });

  it('counts only for its connection: a broken one is replaced, and gets a new fence', async () => {
    await withLog({}, async ({ log, asked }) => {
      const stream = newStream();
      await log.readStream(stream, strong);
      proxy.cut();
      await log.readStream(stream, strong);
      expect(asked.filter(({ client }) => client > 1)).toEqual([
        { client: 2, call: 'fence' },
        { client: 2, call: 'read' },
      ]);
    });
  });

  it('does not count for a read whose connection breaks before the answer', async () => {
    await withLog({}, async ({ log, asked }) => {
      const stream = newStream();
      await log.append(stream, 'none', newEvents(1));
      await log.readStream(stream, strong);
      proxy.hold();
      const reading = log.readStream(stream, strong);
      await proxy.waitForHeldAnswer();
      await others.append(stream, 0n, newEvents(1));
      proxy.cut();
      expect(await reading).toHaveLength(2);
      // The first of the two reads looks for the event that this process has appended, which a restore would have undone.
      expect(asked.filter(({ client }) => client === 2)).toEqual([
        { client: 2, call: 'fence' },
        { client: 2, call: 'read' },
        { client: 2, call: 'read' },
      ]);
    });
  });

  it('proves each answer by which a new connection finds out whether the log was restored', async () => {
    await withLog({ fenceMaxAgeMs: 0 }, async ({ log, asked }) => {
      const known = newStream();
      await log.append(known, 'none', newEvents(1));
      await clientTo(store.port).deleteStream(known);
      proxy.cut();
      await log.readStream(newStream(), strong);
      const after = asked.filter(({ client }) => client === 2);
      // The event is looked for, then the beginning of its stream, and then the end of the whole log.
      expect(after.map(({ call }) => call)).toEqual(['fence', 'read', 'fence', 'read', 'fence', 'read', 'fence']);
    });
  });

  it('that is not acknowledged in time makes the log replace the client before it reads anything', async () => {
    await withLog({ fenceMaxAgeMs: 0 }, async ({ log, asked }) => {
      await log.readStream(newStream(), strong);
      proxy.dropRequests();
      expect(await log.readStream(newStream(), strong)).toEqual([]);
      expect(asked.slice(2)).toEqual([
        { client: 1, call: 'fence' },
        { client: 2, call: 'fence' },
        { client: 2, call: 'read' },
      ]);
    });
  });

  it.each([
    ['is not acknowledged in time', { code: 4, type: 'deadline-exceeded' }],
    ['is refused because the server is in trouble', { code: 2, type: 'unknown' }],
    ['is refused because it may not be appended', { code: 7, type: 'access-denied' }],
  ])('that %s prevents reads from a replaced leader', async (_, failure) => {
    const replaced = await startEventStore();
    const stream = newStream();
    try {
      const events = newEvents(2);
      const old = openEventStoreDbLog({ url: replaced.url });
      await old.append(stream, 'none', events.slice(0, 1));
      await old.close();
      await others.append(stream, 'none', events);
      const strongClient = jest
        .fn(() => clientTo(store.port))
        .mockImplementationOnce(() => {
          const client = clientTo(replaced.port);
          client.appendToStream = () => Promise.reject(Object.assign(new Error('Refused'), failure));
          return client;
        });
      await withLog({ strongClient }, async ({ log, asked }) => {
        const first = log.readStream(stream, strong);
        if (failure.type === 'access-denied') await expect(first).rejects.toThrow('EventStoreDB refuses the account');
        else expect(await first).toHaveLength(2);
        expect(await log.readStream(stream, strong)).toHaveLength(2);
        expect(asked.filter(({ client, call }) => client === 1 && call === 'read')).toEqual([]);
        expect(strongClient).toHaveBeenCalledTimes(2);
      });
    } finally {
      await replaced.stop();
    }
  });

  it('is invisible to readers of the log, and leaves only one event in its stream', async () => {
    await withLog({ fenceMaxAgeMs: 0 }, async ({ log, fenceStream }) => {
      for (let read = 0; read < 5; read++) await log.readStream(newStream(), strong);
      const { position } = await others.append(newStream(), 'none', newEvents(1));
      expect((await log.readAll({ limit: 10_000 })).filter(({ stream }) => !isOurStream(stream))).toEqual([]);
      for await (const { events } of log.subscribe({ signal: new AbortController().signal })) {
        expect(events.filter(({ stream }) => !isOurStream(stream))).toEqual([]);
        if (events.some((event) => event.position === position)) break;
      }
      const client = clientTo(store.port);
      expect((await client.getStreamMetadata(fenceStream)).metadata).toEqual({ maxCount: 1 });
      const left = [];
      for await (const { event } of client.readStream(fenceStream)) left.push(event?.revision);
      expect(left).toEqual([4n]);
    });
  });
});

describe('a clock', () => {
  it.each([
    ['ahead', 60_000],
    ['behind', -60_000],
  ])('that is %s of the log’s clock is noticed before the strong read is answered', async (_, ms) => {
    await withLog({ aheadMs: () => ms }, async ({ log }) => {
      await log.readStream(newStream(), strong);
      expect(log.clockSkewMs).toBeGreaterThan(55_000);
      expect(log.clockSkewMs).toBeLessThan(60_001);
      expect(() => {
        requireCommonClock(log);
      }).toThrow(ClockApart);
    });
  });

  it('that equals the log’s clock is not reported as wrong because of late answers', async () => {
    await withLog({}, async ({ log }) => {
      proxy.hold();
      const read = log.readStream(newStream(), strong);
      await delay(1_000);
      proxy.release();
      await read;
      expect(log.clockSkewMs).toBe(0);
      requireCommonClock(log);
    });
  });
});
