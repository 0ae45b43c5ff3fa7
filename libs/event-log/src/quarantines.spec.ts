import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import {
  type EventLog,
  identifyLog,
  internalContext,
  liftQuarantine,
  LogUnavailable,
  QUARANTINE_HOLDS_AFTER_MS,
  Quarantines,
  quarantineStream,
  StreamIsQuarantined,
} from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { verifyChain } from '#events';

const STREAM = 'subscription-weather';
const now = () => new Date('2026-03-01T10:00:00.000Z');
const options = () => ({ reason: 'An exercise', context: internalContext({ via: 'cli' }), now });

let folder: string;
let log: EventLog;
let quarantines: Quarantines;
let looks: jest.SpyInstance;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quarantines-'));
  log = await openSqliteEventLog({ file: join(folder, 'event-log.db') });
  await identifyLog(log, now);
  quarantines = new Quarantines(log);
  looks = jest.spyOn(log, 'readStream');
});
afterEach(async () => {
  jest.restoreAllMocks();
  await log.close();
  rmSync(folder, { recursive: true });
});

const quarantine = () => quarantineStream(log, { stream: STREAM, lastRevision: 1n }, options());

/** Lets the given number of milliseconds pass by both clocks. */
const pass = (milliseconds: number) => {
  const [monotonic, wall] = [performance.now() + milliseconds, Date.now() + milliseconds];
  jest.spyOn(performance, 'now').mockReturnValue(monotonic);
  jest.spyOn(Date, 'now').mockReturnValue(wall);
};

describe('the quarantines of a log', () => {
  it('are looked up at most once in the time after which they hold', async () => {
    pass(0);
    await quarantines.requireFree(STREAM);
    await quarantine();
    looks.mockClear();
    for (let call = 0; call < 100; call++) await quarantines.requireFree(STREAM);
    expect(looks).not.toHaveBeenCalled();
    pass(QUARANTINE_HOLDS_AFTER_MS);
    await expect(quarantines.requireFree(STREAM)).rejects.toThrow(new StreamIsQuarantined(STREAM));
    await quarantines.requireFree('subscription-tides');
    expect(looks).toHaveBeenCalledTimes(1);
  });

  it('are looked up before the last look is too old, and nobody waits for it', async () => {
    pass(0);
    await quarantines.inForce();
    await quarantine();
    pass(QUARANTINE_HOLDS_AFTER_MS / 2);
    expect((await quarantines.inForce()).size).toBe(0);
    await Promise.all(looks.mock.results.map(({ value }) => value as Promise<unknown>));
    await endOfTurn();
    expect((await quarantines.inForce()).has(STREAM)).toBe(true);
  });

  it('are looked up anew after a new event was seen, even if a look is under way', async () => {
    const before = quarantines.inForce();
    await quarantine();
    quarantines.expire();
    await before;
    await expect(quarantines.requireFree(STREAM)).rejects.toThrow(StreamIsQuarantined);
  });

  it('don’t contain streams without which nothing works', async () => {
    await quarantineStream(log, { stream: 'signingKeys', lastRevision: 0n }, options());
    expect((await quarantines.inForce()).size).toBe(0);
  });

  it('are unknown while the log can’t be read: nothing counts as free', async () => {
    looks.mockRejectedValue(new LogUnavailable('gone'));
    await expect(quarantines.requireFree(STREAM)).rejects.toThrow(LogUnavailable);
    expect((await quarantines.inForceOrLastKnown()).size).toBe(0);
  });

  it('let an answer that must not wait ask a log that has failed only once a second', async () => {
    pass(0);
    looks.mockRejectedValue(new LogUnavailable('gone'));
    for (let query = 0; query < 3; query++) await quarantines.inForceOrLastKnown();
    expect(looks).toHaveBeenCalledTimes(1);
    looks.mockRestore();
    await quarantine();
    pass(1_000);
    expect((await quarantines.inForceOrLastKnown()).has(STREAM)).toBe(true);
  });

  it('are looked up in one round trip while there have never been any', async () => {
    await quarantines.inForce();
    expect(looks).toHaveBeenLastCalledWith('quarantines', expect.objectContaining({ isProbablyMissing: true }));
    await quarantine();
    for (const isProbablyMissing of [true, false]) {
      quarantines.expire();
      await quarantines.inForce();
      expect(looks).toHaveBeenLastCalledWith('quarantines', expect.objectContaining({ isProbablyMissing }));
    }
  });

  it('begin and end once, and leave a whole chain', async () => {
    expect([await quarantine(), await quarantine()]).toEqual([true, false]);
    expect(await quarantines.inForce()).toEqual(
      new Map([
        [
          STREAM,
          {
            ...{ stream: STREAM, reason: 'An exercise', lastRevision: 1, subject: 'consumer-clients' },
            quarantinedAt: '2026-03-01T10:00:00.000Z',
          },
        ],
      ]),
    );
    const lift = () => liftQuarantine(log, STREAM, options());
    expect([await lift(), await lift(), await quarantine()]).toEqual([true, false, true]);
    const events = await log.readStream('quarantines');
    expect(events.map(({ type }) => type)).toEqual([
      'StreamQuarantined',
      'StreamQuarantineLifted',
      'StreamQuarantined',
    ]);
    expect(await verifyChain('quarantines', events)).toMatchObject({ whole: true });
  });
});
