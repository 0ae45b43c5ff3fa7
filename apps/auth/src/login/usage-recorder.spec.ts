import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientId } from '#domain';
import { type EventLog, internalContext, LogUnavailable, openBookOfRecord, RevisionConflict } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type EventVersions, type RecordedEvent, upcast, verifyChain } from '#events';
import { createLogger, type Logger, StoreOutages } from '#platform';
import { startEventStore } from '../../../../test/servers/eventstoredb/event-store.js';
import { idleMs } from '../../../../test/support/load/load-meter.js';
import { UnrecordedUsage } from './unrecorded-usage.js';
import { UsageRecorder } from './usage-recorder.js';

const ONE: ClientId = 'cc_0000000000000000000001';
const TWO: ClientId = 'cc_0000000000000000000002';

let folder: string;
let log: EventLog;
let now: Date;
/**
 * What happens to the next appends. `lost`: the event is written, but the response is lost. `hanging`: the append never
 * finishes. `refused`: the log is unavailable. `foreign`: another process has written to the stream.
 */
let fate: ('refused' | 'lost' | 'foreign' | 'hanging')[];
let logger: Logger;
let outages: StoreOutages;

const append: EventLog['append'] = async (...args) => {
  const [stream, expected] = args;
  const next = fate.shift();
  if (next === 'hanging') return new Promise(() => undefined);
  if (next === 'refused') throw new LogUnavailable('away');
  if (next === 'foreign') throw new RevisionConflict(stream, expected, undefined);
  const appended = await log.append(...args);
  if (next === 'lost') throw new LogUnavailable('the answer was lost');
  return appended;
};

/** An auth process: the counters that its logins use, and the recorder that appends them. */
class Process {
  readonly attempts = new UnrecordedUsage();
  readonly recorder: UsageRecorder;

  constructor(eventVersions: EventVersions = 'current') {
    const readStream: EventLog['readStream'] = (...args) => log.readStream(...args);
    const book = { log: { append, readStream }, eventVersions };
    this.recorder = new UsageRecorder({ book, clock: () => now }, this.attempts, logger, outages);
  }

  seen(clientId: ClientId): void {
    this.attempts.count(clientId, 1, null, 'OK', at());
  }

  record(): Promise<void> {
    return this.recorder.record();
  }
}

const at = () => now.toISOString();
const recorded = () => log.readAll();
const usagesOf = (events: readonly RecordedEvent[]) =>
  events.map(upcast).flatMap((event) => (event.type === 'UsageRecorded' ? [event.data] : []));
const used = (client: ClientId, count: number, last = at()) => ({
  ...{ client, generation: 1, subscription: null, outcome: 'OK', count },
  ...{ first: last, last },
});
const usesOf = async (clientId: ClientId) => {
  const entries = usagesOf(await recorded()).flatMap((usage) => usage.entries);
  return entries.filter(({ client }) => client === clientId).reduce((sum, { count }) => sum + count, 0);
};
const createClient = async (clientId: ClientId) => {
  const book = await openBookOfRecord(log, () => now);
  const command = { type: 'CreateClient', clientId, workspaceId: 'acme', name: 'One', authenticationType: 'OAUTH2' };
  const verifier = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$bm9ib2R5IGtub3dzIGl0';
  await book.clients.execute(clientId, { ...command, verifier, at: at() } as never, {
    context: internalContext({ via: 'http', workspaceId: 'acme' }),
  });
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'usage-'));
  log = await openSqliteEventLog({ file: join(folder, 'events.db') });
  now = new Date('2026-03-01T10:00:00.000Z');
  fate = [];
  logger = createLogger('silent');
  outages = new StoreOutages(logger, 0);
  jest.spyOn(logger, 'warn');
  jest.spyOn(logger, 'error');
});
afterEach(async () => {
  await log.close();
  rmSync(folder, { recursive: true });
});

describe('an auth process', () => {
  it('appends one event with all clients that it has seen, and none when it has seen nobody', async () => {
    const auth = new Process();
    await auth.record();
    auth.seen(ONE);
    auth.seen(TWO);
    auth.seen(ONE);
    await auth.record();
    await auth.record();
    const events = await recorded();
    expect(usagesOf(events)).toEqual([
      { process: expect.any(String) as string, entries: [used(ONE, 2), used(TWO, 1)], unknownClients: 0 },
    ]);
    expect(events[0]?.stream).toMatch(/^usage-2026-03-01-[0-9a-f]{16}$/);
  });

  it('has a chained stream of its own each day', async () => {
    const auth = new Process();
    for (const time of ['2026-03-01T23:58:00.000Z', '2026-03-01T23:59:00.000Z', '2026-03-02T00:00:00.000Z']) {
      now = new Date(time);
      auth.seen(ONE);
      await auth.record();
    }
    const streams = [...new Set((await recorded()).map(({ stream }) => stream))];
    expect(streams.map((stream) => stream.slice(0, 16))).toEqual(['usage-2026-03-01', 'usage-2026-03-02']);
    for (const stream of streams) {
      expect(await verifyChain(stream, await log.readStream(stream))).toMatchObject({ whole: true });
    }
    const another = new Process();
    another.seen(ONE);
    await another.recorder.stop();
    expect(new Set((await recorded()).map(({ stream }) => stream)).size).toBe(3);
  });

  it('dates its events by the right time again after its clock was ahead', async () => {
    const auth = new Process();
    const times = ['2026-03-01T12:00:00.000Z', '2026-03-01T10:01:00.000Z', '2026-03-01T10:00:58.000Z'];
    for (const time of times) {
      now = new Date(time);
      auth.seen(ONE);
      await auth.record();
    }
    const [ahead, right, ...others] = await recorded();
    expect([ahead?.metadata.occurredAt, right?.metadata.occurredAt]).toEqual(times.slice(0, 2));
    // Within a stream, and by no more than clocks may differ, the time of an event is raised to that of the last event.
    expect(others).toMatchObject([{ stream: right?.stream, metadata: { occurredAt: times[1] } }]);
  });

  it('keeps uses that the log did not take, and counts nothing twice when an answer was lost', async () => {
    const auth = new Process();
    auth.seen(ONE);
    fate = ['refused'];
    await auth.record();
    expect(await recorded()).toEqual([]);
    auth.seen(ONE);
    fate = ['lost'];
    await auth.record();
    expect(await usesOf(ONE)).toBe(1);
    auth.seen(ONE);
    await auth.record();
    expect(await usesOf(ONE)).toBe(3);
    expect(logger.error).not.toHaveBeenCalled();
  });

  it('logs each outage of the log once', async () => {
    const auth = new Process();
    for (const outage of [1, 2]) {
      fate = ['refused', 'refused', 'refused'];
      while (fate.length > 0) {
        auth.seen(ONE);
        await auth.record();
      }
      expect(logger.warn).toHaveBeenCalledTimes(outage);
      await auth.record();
      outages.passed('event log', performance.now());
    }
    expect(await usesOf(ONE)).toBe(6);
  });

  it('loses no use when the log was restored to an older state: it continues in a new stream', async () => {
    const auth = new Process();
    auth.seen(ONE);
    await auth.record();
    auth.seen(ONE);
    fate = ['foreign'];
    await auth.record();
    auth.seen(TWO);
    await auth.record();
    expect(logger.error).not.toHaveBeenCalled();
    expect([await usesOf(ONE), await usesOf(TWO)]).toEqual([2, 1]);
    expect(new Set((await recorded()).map(({ stream }) => stream)).size).toBe(2);
  });

  it('records the rest when it stops', async () => {
    const auth = new Process();
    auth.recorder.start();
    auth.seen(ONE);
    await auth.recorder.stop();
    expect(await usesOf(ONE)).toBe(1);
  });

  it('makes one attempt at a time, however often it is due while the log is away', async () => {
    jest.useFakeTimers({
      doNotFake: ['Date', 'performance', 'setTimeout', 'setImmediate', 'nextTick', 'queueMicrotask'],
    });
    const auth = new Process();
    auth.seen(ONE);
    jest.spyOn(auth.attempts, 'isFull', 'get').mockReturnValue(true);
    fate = Array.from({ length: 100 }, () => 'refused');
    const attempts = () => 100 - fate.length;
    auth.recorder.start();
    jest.advanceTimersByTime(10_000);
    await auth.record();
    expect(attempts()).toBe(2);
    jest.advanceTimersByTime(10_000);
    jest.useRealTimers();
    await auth.recorder.stop();
    expect(attempts()).toBe(5);
  });

  it('waits 2 s at its stop, also for an append that was under way', async () => {
    const auth = new Process();
    auth.seen(ONE);
    fate = ['hanging'];
    void auth.record();
    expect(await idleMs(() => auth.recorder.stop())).toBeLessThan(3_000);
  });

  it('records at its stop what needs no look-up, also if the look-up of claimed ids does not end', async () => {
    const auth = new Process();
    auth.seen(TWO);
    auth.attempts.countClaimed(ONE, 'BAD_SECRET', at());
    const reading = jest.spyOn(log, 'readStream').mockReturnValue(new Promise(() => undefined));
    await auth.recorder.stop();
    reading.mockRestore();
    expect(await usesOf(TWO)).toBe(1);
  });

  it('records refused attempts of existing clients, and never an id that names no client', async () => {
    await createClient(ONE);
    const auth = new Process();
    auth.attempts.count(ONE, 2, 'sub_1', 'NOT_ASSIGNED', at());
    auth.attempts.countUnknown();
    for (const claimed of [ONE, TWO, TWO, 'no id']) auth.attempts.countClaimed(claimed, 'BAD_SECRET', at());
    await auth.record();
    const [usage] = usagesOf(await recorded());
    expect(usage).toMatchObject({
      entries: [
        { client: ONE, generation: 2, subscription: 'sub_1', outcome: 'NOT_ASSIGNED', count: 1 },
        { client: ONE, generation: null, subscription: null, outcome: 'BAD_SECRET', count: 1 },
      ],
      unknownClients: 4,
    });
    expect(JSON.stringify(usage)).not.toContain(TWO);
    auth.attempts.countUnknown();
    await auth.record();
    expect(usagesOf(await recorded())[1]).toMatchObject({ entries: [], unknownClients: 1 });
  });

  it('keeps attempts with made-up secrets until the log tells whether there is such a client', async () => {
    await createClient(ONE);
    const auth = new Process();
    auth.attempts.countClaimed(ONE, 'BAD_SECRET', at());
    auth.seen(TWO);
    const reading = jest.spyOn(log, 'readStream').mockRejectedValue(new LogUnavailable('away'));
    await auth.record();
    reading.mockRestore();
    expect([await usesOf(ONE), await usesOf(TWO)]).toEqual([0, 1]);
    await auth.record();
    expect([await usesOf(ONE), await usesOf(TWO)]).toEqual([1, 1]);
  });

  it('loses no counts, and counts nothing twice, on a server that takes only small events', async () => {
    const server = await startEventStore({ maxEventBytes: 20_000, version: '24.10.14' });
    try {
      await log.close();
      log = openEventStoreDbLog({ url: server.url });
      const auth = new Process();
      const clients = Array.from({ length: 500 }, (_, index): ClientId => `cc_${String(index).padStart(22, '0')}`);
      for (const client of clients) auth.seen(client);
      auth.attempts.countUnknown(7);
      await auth.record();
      auth.seen(ONE);
      await auth.record();
      const events = await log.readAll();
      expect(events.length).toBeGreaterThan(4);
      const [first] = events;
      expect(await verifyChain(first?.stream ?? '', events)).toMatchObject({ whole: true });
      const usages = usagesOf(events);
      expect(usages.flatMap(({ entries }) => entries.map(({ client }) => client))).toEqual([...clients, ONE]);
      expect(usages.reduce((sum, { unknownClients }) => sum + unknownClients, 0)).toBe(7);
      expect(logger.error).not.toHaveBeenCalled();
    } finally {
      await log.close();
      await server.stop();
    }
  });

  it('writes in an upgrade what the release before can read, as long as it may run', async () => {
    const auth = new Process('previous');
    auth.seen(ONE);
    auth.attempts.count(TWO, 1, null, 'EXPIRED', at());
    await auth.record();
    auth.attempts.count(TWO, 1, null, 'EXPIRED', at());
    await auth.record();
    auth.seen(ONE);
    await auth.record();
    const events = await recorded();
    expect(events.map(({ metadata, data }) => [metadata.schemaVersion, data.clients])).toEqual([
      [1, { [ONE]: { uses: 1, lastUsedAt: at() } }],
      [1, { [ONE]: { uses: 1, lastUsedAt: at() } }],
    ]);
    const [first] = events;
    expect(await verifyChain(first?.stream ?? '', events)).toMatchObject({ whole: true });
  });
});
