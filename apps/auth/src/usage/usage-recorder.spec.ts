import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientId } from '#domain';
import { type EventLog, LogUnavailable, RevisionConflict } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type RecordedEvent, type UsageRecorded, verifyChain } from '#events';
import { type Logger, createLogger } from '#platform';
import { UsageRecorder } from './usage-recorder.js';

const ONE: ClientId = 'cc_0000000000000000000001';
const TWO: ClientId = 'cc_0000000000000000000002';

let folder: string;
let log: EventLog;
let now: Date;
/** What becomes of the next appends; `lost`: written, but the answer doesn't come; `hanging`: nothing, for ever. */
let fate: ('refused' | 'lost' | 'foreign' | 'hanging')[];
let logger: Logger;

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
const newRecorder = () => new UsageRecorder({ book: { log: { append } }, clock: () => now }, logger);
const at = () => now.toISOString();
const recorded = () => log.readAll();
const usagesOf = (events: readonly RecordedEvent[]) =>
  events.map(({ data }) => (data as UsageRecorded['data']).clients);
const usesOf = async (clientId: ClientId) =>
  usagesOf(await recorded()).reduce((sum, clients) => sum + (clients[clientId]?.uses ?? 0), 0);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'usage-'));
  log = await openSqliteEventLog({ file: join(folder, 'events.db') });
  now = new Date('2026-03-01T10:00:00.000Z');
  fate = [];
  logger = createLogger('silent');
  jest.spyOn(logger, 'warn');
  jest.spyOn(logger, 'error');
});
afterEach(async () => {
  await log.close();
  rmSync(folder, { recursive: true });
});

describe('an auth process', () => {
  it('appends one event with all clients that it has seen, and none when it has seen nobody', async () => {
    const recorder = newRecorder();
    await recorder.record();
    recorder.seen(ONE, at());
    recorder.seen(TWO, at());
    recorder.seen(ONE, at());
    await recorder.record();
    await recorder.record();
    const events = await recorded();
    expect(usagesOf(events)).toEqual([{ [ONE]: { uses: 2, lastUsedAt: at() }, [TWO]: { uses: 1, lastUsedAt: at() } }]);
    expect(events[0]?.stream).toMatch(/^usage-2026-03-01-[0-9a-f]{16}$/);
  });

  it('has a chained stream of its own each day', async () => {
    const recorder = newRecorder();
    for (const time of ['2026-03-01T23:58:00.000Z', '2026-03-01T23:59:00.000Z', '2026-03-02T00:00:00.000Z']) {
      now = new Date(time);
      recorder.seen(ONE, at());
      await recorder.record();
    }
    const streams = [...new Set((await recorded()).map(({ stream }) => stream))];
    expect(streams.map((stream) => stream.slice(0, 16))).toEqual(['usage-2026-03-01', 'usage-2026-03-02']);
    for (const stream of streams) {
      expect(await verifyChain(stream, await log.readStream(stream))).toMatchObject({ whole: true });
    }
    const another = newRecorder();
    another.seen(ONE, at());
    await another.stop();
    expect(new Set((await recorded()).map(({ stream }) => stream)).size).toBe(3);
  });

  it('keeps what the log did not take, and counts nothing twice when the answer was lost', async () => {
    const recorder = newRecorder();
    recorder.seen(ONE, at());
    fate = ['refused'];
    await recorder.record();
    expect(await recorded()).toEqual([]);
    recorder.seen(ONE, at());
    fate = ['lost'];
    await recorder.record();
    expect(await usesOf(ONE)).toBe(1);
    recorder.seen(ONE, at());
    await recorder.record();
    expect(await usesOf(ONE)).toBe(3);
    expect(logger.error).not.toHaveBeenCalled();
  });

  it('tells of each time that the log took nothing once', async () => {
    const recorder = newRecorder();
    for (const outage of [1, 2]) {
      fate = ['refused', 'refused', 'refused'];
      while (fate.length > 0) {
        recorder.seen(ONE, at());
        await recorder.record();
      }
      expect(logger.warn).toHaveBeenCalledTimes(outage);
      await recorder.record();
    }
    expect(await usesOf(ONE)).toBe(6);
  });

  it('goes on in a new stream when its own is not what it left behind', async () => {
    const recorder = newRecorder();
    recorder.seen(ONE, at());
    await recorder.record();
    recorder.seen(ONE, at());
    fate = ['foreign'];
    await recorder.record();
    recorder.seen(TWO, at());
    await recorder.record();
    expect(logger.error).toHaveBeenCalledWith(expect.anything(), 'usage of clients was lost');
    expect([await usesOf(ONE), await usesOf(TWO)]).toEqual([1, 1]);
    expect(new Set((await recorded()).map(({ stream }) => stream)).size).toBe(2);
  });

  it('records the rest when it stops', async () => {
    const recorder = newRecorder();
    recorder.start();
    recorder.seen(ONE, at());
    await recorder.stop();
    expect(await usesOf(ONE)).toBe(1);
  });

  it('waits 2 s at its stop, also for an append that was under way', async () => {
    const recorder = newRecorder();
    recorder.seen(ONE, at());
    fate = ['hanging'];
    void recorder.record();
    const began = performance.now();
    await recorder.stop();
    expect(performance.now() - began).toBeLessThan(3_000);
  });
});
