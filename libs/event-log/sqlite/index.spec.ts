import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { type EventLog, LogUnavailable } from '#event-log';
import { NotAnEventLog, openSqliteEventLog } from '#event-log/sqlite';
import { newEvent, newEvents } from '../../../test/support/events/new-events.js';
import { idleMs, LoadMeter } from '../../../test/support/load/load-meter.js';
import { EventLogProcess, type ProcessOutcome } from '../../../test/support/processes/event-log-process.js';
import { testWithFileLimits } from '../../../test/support/processes/file-limits.js';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sqlite-event-log-'));
  file = join(folder, 'events.db');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const newStream = () => `consumerClient-cc_${randomUUID()}`;
const newStreams = (count: number) => Array.from({ length: count }, newStream);
const withLog = async <T>(use: (log: EventLog) => Promise<T>): Promise<T> => {
  const log = await openSqliteEventLog({ file });
  try {
    return await use(log);
  } finally {
    await log.close();
  }
};

describe('the file', () => {
  it('holds revisions and positions beyond 2^53 exactly', async () => {
    const [stream, revision, position] = [newStream(), 2n ** 53n + 1n, 2n ** 60n + 1n];
    await withLog(() => Promise.resolve());
    const seeding = new Database(file);
    seeding
      .prepare("INSERT INTO events VALUES (?, ?, ?, ?, 'Seeded', '{}', '{}')")
      .run([position, stream, revision, randomUUID()]);
    seeding.close();

    await withLog(async (log) => {
      await expect(log.append(stream, revision - 1n, newEvents(1))).rejects.toMatchObject({ actual: revision });
      const appended = await log.append(stream, revision, newEvents(2));
      expect(appended).toEqual({ revision: revision + 2n, position: `0${position + 2n}` });

      const [first, ...later] = await log.readStream(stream, { from: revision });
      expect([first?.revision, first?.position]).toEqual([revision, `0${position}`]);
      expect(later.map((event) => event.revision)).toEqual([revision + 1n, revision + 2n]);
      expect(await log.readAll({ after: `0${position}` })).toEqual(later);
      expect(await log.readAll({ after: appended.position, direction: 'backwards', limit: 2 })).toEqual([
        later[0],
        first,
      ]);
      expect(await log.readAll({ after: '9'.repeat(20) })).toEqual([]);
    });
  });

  it('is created once when several processes open it at the same time', async () => {
    const logs = await Promise.all(Array.from({ length: 6 }, () => openSqliteEventLog({ file })));
    await Promise.all(logs.map((log) => log.append(newStream(), 'none', newEvents(1))));
    for (const log of logs) expect(await log.readAll()).toHaveLength(6);
    await Promise.all(logs.map((log) => log.close()));
  });

  it('does not allow changing or deleting an event', async () => {
    await withLog((log) => log.append(newStream(), 'none', newEvents(1)));
    const other = new Database(file);
    expect(() => other.prepare("UPDATE events SET data = '{}'").run([])).toThrow('events are never changed');
    expect(() => other.prepare('DELETE FROM events').run([])).toThrow('events are never deleted');
    other.close();
  });

  it('of an earlier version, with snapshots in another form, has snapshots again', async () => {
    await withLog(() => Promise.resolve());
    const earlier = new Database(file);
    earlier.exec(`
      CREATE TABLE snapshots (stream TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT;
      CREATE TABLE snapshot_parts (
        stream TEXT NOT NULL, number INTEGER NOT NULL, content TEXT NOT NULL, PRIMARY KEY (stream, number)
      ) STRICT;
      INSERT INTO snapshots VALUES ('a', 'earlier');
    `);
    await withLog(async ({ snapshots }) => {
      expect(await snapshots.read('a')).toBeUndefined();
      await snapshots.write('a', 'new');
      expect(await snapshots.writeParts('a', ['part'])).toBe(0);
      expect([await snapshots.read('a'), await snapshots.readPart('a', 0)]).toEqual(['new', 'part']);
    });
    const tables = earlier.prepare("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'snapshot%'").raw().all([]);
    expect(tables).toEqual([[0]]);
    earlier.close();
  });

  it('with snapshots that can’t be read is unavailable to their readers', async () => {
    await withLog(async ({ snapshots }) => {
      const damaging = new Database(file);
      damaging.exec('CREATE TABLE stream_snapshot_parts (number INTEGER) STRICT');
      damaging.close();
      await expect(snapshots.read('a')).rejects.toThrow(LogUnavailable);
      await expect(snapshots.readPart('a', 0)).rejects.toThrow(LogUnavailable);
    });
  });

  it.each([
    ['a table of its own', 'CREATE TABLE notes (text TEXT)'],
    ['a name of its own', 'PRAGMA application_id = 7'],
    ['no table, but a version', 'PRAGMA user_version = 1'],
  ])('of another application, with %s, is refused and not changed', async (_, statement) => {
    const other = new Database(file);
    other.exec(statement);
    other.close();
    const before = readFileSync(file);
    await expect(openSqliteEventLog({ file })).rejects.toThrow(NotAnEventLog);
    expect(readFileSync(file)).toEqual(before);
  });

  it('of a newer version, or that is no database, is refused', async () => {
    await withLog(() => Promise.resolve());
    const newer = new Database(file);
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    await expect(openSqliteEventLog({ file })).rejects.toThrow(NotAnEventLog);

    const letter = join(folder, 'letter.txt');
    writeFileSync(letter, 'Dear auditor,\n'.repeat(100));
    await expect(openSqliteEventLog({ file: letter })).rejects.toThrow(NotAnEventLog);

    const damaged = join(folder, 'damaged.db');
    writeFileSync(damaged, readFileSync(file).subarray(0, 5_000));
    await expect(openSqliteEventLog({ file: damaged })).rejects.toThrow('is damaged; it is left as it is');
    expect(readFileSync(damaged)).toHaveLength(5_000);
  });

  it.each([
    ['is missing', () => undefined],
    [
      'is empty',
      (lost: string) => {
        writeFileSync(lost, '');
      },
    ],
    [
      'is empty, behind a link',
      (lost: string) => {
        writeFileSync(lost, '');
        symlinkSync(lost, `${lost}.link`);
      },
    ],
  ])('that %s beside a write-ahead log with events is refused, and the events stay', async (_, lose) => {
    const lost = join(folder, 'lost.db');
    await withLog(async (log) => {
      await log.append('log', 'none', newEvents(1));
      copyFileSync(`${file}-wal`, `${lost}-wal`);
    });
    lose(lost);
    const before = readFileSync(`${lost}-wal`);
    const opened = readdirSync(folder).includes('lost.db.link') ? `${lost}.link` : lost;
    for (const isSecondary of [false, true]) {
      const refusal = expect(openSqliteEventLog({ file: opened, isSecondary })).rejects;
      await refusal.toThrow('is missing or empty, but its write-ahead log holds events; it is left as it is');
    }
    expect(readFileSync(`${lost}-wal`)).toEqual(before);
  });

  it('that can’t be created is unavailable', async () => {
    const missing = join(folder, 'missing', 'events.db');
    const message = `${missing} can't be opened: no file can be opened there (SQLITE_CANTOPEN)`;
    await expect(openSqliteEventLog({ file: missing })).rejects.toThrow(new LogUnavailable(message));
  });

  it('may have a name with characters that are special in a URL', async () => {
    file = join(folder, 'events #1?mode=memory%20.db');
    await withLog((log) => log.append('log', 'none', newEvents(1)));
    expect(await withLog((log) => log.readStream('log'))).toHaveLength(1);
  });
});

describe('a second process', () => {
  it('is noticed within 20 ms by a follower of the log', async () => {
    const other = await EventLogProcess.open(file);
    const load = new LoadMeter();
    await withLog(async (log) => {
      const controller = new AbortController();
      const arrivals = new Map<string, (arrivedAt: number) => void>();
      const following = (async () => {
        for await (const { events } of log.subscribe({ signal: controller.signal })) {
          const arrivedAt = performance.timeOrigin + performance.now();
          for (const { stream } of events) arrivals.get(stream)?.(arrivedAt);
        }
      })();
      const delays: number[] = [];
      for (const stream of newStreams(25)) {
        const arrived = new Promise<number>((resolve) => arrivals.set(stream, resolve));
        const [appended] = await other.append([stream]);
        delays.push((await arrived) - (appended?.acknowledgedAt ?? NaN));
      }
      controller.abort();
      await following;
      expect(median(delays)).toBeLessThan(20 * load.slowdown);
    });
    load.stop();
    await other.close();
  });

  it('and this one append to one file without loss or mixture', async () => {
    const other = await EventLogProcess.open(file);
    await withLog(async (log) => {
      const [ours, theirs] = [newStreams(100), newStreams(100)];
      const [, outcomes] = await Promise.all([
        Promise.all(ours.map((stream) => log.append(stream, 'none', newEvents(3)))),
        other.append(theirs),
      ]);
      expect(outcomes.filter(({ error }) => error)).toEqual([]);
      const events = await log.readAll({ limit: 1_000 });
      expect(events).toHaveLength(400);
      for (const stream of ours) {
        const positions = events.filter((event) => event.stream === stream).map(({ position }) => BigInt(position));
        expect(positions.map((position) => position - (positions[0] ?? 0n))).toEqual([0n, 1n, 2n]);
      }
    });
    await other.close();
  });
});

describe('durability', () => {
  it('every acknowledged event is there after kill -9', async () => {
    for (const count of [1, 150, 400]) {
      const prefix = newStream();
      const acknowledged = await (await EventLogProcess.open(file)).killWhileAppending(prefix, 16, count);
      expect(acknowledged.length).toBeGreaterThanOrEqual(count);
      await withLog(async (log) => {
        for (const { stream, position, error } of acknowledged) {
          expect(error).toBeUndefined();
          expect(await log.readStream(stream)).toMatchObject([{ revision: 0n, position }]);
        }
        await log.append(newStream(), 'none', newEvents(1));
      });
    }
  });

  const canTrace = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;
  if (!canTrace && !process.env.CI) {
    console.warn('SKIPPED: that appends are synced before they are acknowledged. Install strace, and allow ptrace.');
  }
  (canTrace || process.env.CI ? it : it.skip)(
    'a group shares one sync, which ends before its acknowledgements, on a thread of its own',
    async () => {
      const trace = join(folder, 'trace');
      const calls = 'trace=pwrite64,write,fsync,fdatasync';
      const traced = await EventLogProcess.open(file, ['strace', '-f', '-y', '-s', '32', '-e', calls, '-o', trace]);
      await traced.append(newStreams(1));
      await traced.append(newStreams(64));
      await traced.close();

      const steps = stepsOf(readFileSync(trace, 'utf8'));
      const main = steps.find(({ kind }) => kind === 'begin')?.thread;
      let isSynced = true;
      for (const { kind } of steps) {
        if (kind === 'acknowledge') expect(isSynced).toBe(true);
        else isSynced = kind === 'sync';
      }
      const group = steps.slice(steps.findLastIndex(({ kind }) => kind === 'begin') + 1);
      const firstAcknowledgement = group.findIndex(({ kind }) => kind === 'acknowledge');
      expect(group.slice(0, firstAcknowledgement).map(({ kind }) => kind)).toContain('write');
      expect(group.slice(0, firstAcknowledgement).filter(({ kind }) => kind === 'sync')).toHaveLength(1);
      expect(group.slice(firstAcknowledgement, firstAcknowledgement + 64)).toEqual(
        Array.from({ length: 64 }, () => ({ thread: main, kind: 'acknowledge' })),
      );
      expect(steps.filter(({ thread, kind }) => kind === 'sync' && thread === main)).toEqual([]);
    },
  );
});

describe('trouble', () => {
  testWithFileLimits(
    'a file that can’t grow refuses appends, loses nothing, and accepts appends when it can grow again',
    async () => {
      const limited = await EventLogProcess.open(file, ['prlimit', '--fsize=1000000:unlimited', '--']);
      const outcomes: ProcessOutcome[] = [];
      for (let round = 0; round < 8; round++) outcomes.push(...(await limited.append(newStreams(4), 50_000)));
      const refused = outcomes.filter(({ error }) => error !== undefined);
      expect(new Set(refused.map(({ error }) => error))).toEqual(new Set(['LogUnavailable']));
      expect(refused.length).toBeLessThan(outcomes.length);

      spawnSync('prlimit', ['--pid', String(limited.pid), '--fsize=unlimited:unlimited']);
      outcomes.push(...(await limited.append(newStreams(4), 50_000)));
      expect(outcomes.slice(-4).filter(({ error }) => error !== undefined)).toEqual([]);
      await limited.close();

      await withLog(async (log) => {
        for (const { stream, error } of outcomes) {
          expect(await log.readStream(stream)).toHaveLength(error === undefined ? 1 : 0);
        }
      });
    },
  );

  it('an append that fails by itself fails alone, not with the group that it shares', async () => {
    await withLog(async (log) => {
      const [first = '', refused = '', ...others] = newStreams(20);
      await log.append(first, 'none', newEvents(1));
      const other = new Database(file);
      other.exec(`CREATE TRIGGER refuse BEFORE INSERT ON events WHEN new.stream = '${refused}' AND new.revision = 1
        BEGIN SELECT RAISE(ABORT, 'not this event'); END`);
      other.close();

      const group = [
        log.append(first, 0n, newEvents(1)),
        log.append(refused, 'none', newEvents(2)),
        log.append(refused, 'none', newEvents(1)),
        log.append(refused, 1n, newEvents(1)),
        ...others.map((stream) => log.append(stream, 'none', newEvents(2))),
      ];
      const refusal = 'it has a rule that forbids this (SQLITE_CONSTRAINT_TRIGGER)';
      const [after, failing, next, conflicting, ...rest] = await Promise.allSettled(group);
      expect(failing).toMatchObject({ reason: new LogUnavailable(`The event log can't be written: ${refusal}`) });
      expect(after).toMatchObject({ value: { revision: 1n } });
      expect(next).toMatchObject({ value: { revision: 0n } });
      expect(conflicting).toMatchObject({ reason: { name: 'RevisionConflict', actual: 0n } });
      for (const each of rest) expect(each).toMatchObject({ value: { revision: 1n } });

      const events = await log.readAll();
      expect(events.map(({ position }) => BigInt(position))).toEqual(events.map((_, index) => BigInt(index + 1)));
      expect(events).toHaveLength(1 + 2 + 2 * others.length);
    });
  });

  it('a writer that dies leaves no caller waiting, and is replaced', async () => {
    const other = await EventLogProcess.open(file);
    let outcomes: Awaited<ReturnType<EventLogProcess['appendWhileWriterEnds']>> = [];
    const took = await idleMs(async () => (outcomes = await other.appendWhileWriterEnds(newStreams(20))));
    expect(took).toBeLessThan(5_000); // The appends end well before their deadline of 10 s.
    expect(outcomes).toHaveLength(20);
    expect(
      outcomes.map(({ error }) => error).filter((error) => error !== undefined && error !== 'LogUnavailable'),
    ).toEqual([]);
    expect(await other.append(newStreams(2))).toMatchObject([{ revision: '0' }, { revision: '0' }]);
    await other.close();
  });

  it('an append that waits for another process blocks neither reads nor timers', async () => {
    await withLog(async (log) => {
      const stream = newStream();
      await log.append(stream, 'none', newEvents(1));
      const other = new Database(file);
      other.exec('BEGIN IMMEDIATE');
      let isWritten = false;
      const writing = log.append(stream, 0n, newEvents(1)).then(() => (isWritten = true));
      for (let round = 0; round < 50; round++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        expect(await log.readStream(stream, { consistency: 'strong' })).toHaveLength(1);
      }
      expect(isWritten).toBe(false);
      other.exec('ROLLBACK');
      other.close();
      await writing;
      expect(await log.readStream(stream)).toHaveLength(2);
    });
  });

  it('a long read lets other work run in between', async () => {
    await withLog(async (log) => {
      const stream = newStream();
      await log.append(stream, 'none', newEvents(1_000));
      let turns = 0;
      let next = setImmediate(function count() {
        turns++;
        next = setImmediate(count);
      });
      expect(await log.readStream(stream)).toHaveLength(1_000);
      clearImmediate(next);
      expect(turns).toBeGreaterThanOrEqual(3);
    });
  });

  it('large events make small batches', async () => {
    await withLog(async (log) => {
      const large = () => newEvent({ data: { text: 'x'.repeat(900_000) } });
      for (const stream of newStreams(10)) await log.append(stream, 'none', [large()]);
      const sizes: number[] = [];
      for await (const { events, caughtUp } of log.subscribe({ signal: new AbortController().signal })) {
        sizes.push(events.length);
        if (caughtUp) break;
      }
      expect(sizes).toEqual([5, 5, 0]);
    });
  });
});

describe('a secondary log, for another thread of the process', () => {
  it('learns of each append through the first log and by others without waiting, and appends itself', async () => {
    const changeCounter = new SharedArrayBuffer(4);
    const first = await openSqliteEventLog({ file, changeCounter });
    const second = await openSqliteEventLog({ file, changeCounter, isSecondary: true });
    const other = await openSqliteEventLog({ file });
    const ending = new AbortController();
    const batchesOf = (log: EventLog) => log.subscribe({ signal: ending.signal })[Symbol.asyncIterator]();
    const [ofFirst, ofSecond] = [batchesOf(first), batchesOf(second)];
    for (const batches of [ofFirst, ofSecond]) await batches.next();

    // Without the counter, most of these 150 events would come a second late, and the test would run out of time.
    for (const stream of newStreams(50)) {
      for (const writer of [first, other, second]) {
        const next = Promise.all([ofFirst.next(), ofSecond.next()]);
        await writer.append(`${stream}-${randomUUID()}`, 'none', newEvents(1));
        await next;
      }
    }
    expect(await second.readAll({ limit: Infinity })).toHaveLength(150);
    ending.abort();
    await Promise.all([ofFirst.return?.(), ofSecond.return?.()]);
    for (const log of [first, second, other]) await log.close();
  });

  it('learns of appends by others without waiting, although nobody follows the first log', async () => {
    const changeCounter = new SharedArrayBuffer(4);
    const first = await openSqliteEventLog({ file, changeCounter });
    const second = await openSqliteEventLog({ file, changeCounter, isSecondary: true });
    const other = await openSqliteEventLog({ file });
    const ending = new AbortController();
    const batches = second.subscribe({ signal: ending.signal })[Symbol.asyncIterator]();
    await batches.next();
    const begunAt = performance.now();
    for (const stream of newStreams(10)) {
      const next = batches.next();
      await other.append(stream, 'none', newEvents(1));
      await next;
    }
    // Otherwise each of them comes up to a second late.
    expect(performance.now() - begunAt).toBeLessThan(5_000);
    ending.abort();
    await batches.return?.();
    for (const log of [first, second, other]) await log.close();
  });

  it('creates no file', async () => {
    await expect(openSqliteEventLog({ file, isSecondary: true })).rejects.toBeInstanceOf(LogUnavailable);
  });
});

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? NaN;

interface Step {
  readonly thread: string;
  readonly kind: 'begin' | 'write' | 'sync' | 'acknowledge';
}

/**
 * Returns the steps in a trace of the log's file, ordered by time. A write counts from its beginning, a sync from its
 * end.
 */
function stepsOf(trace: string): Step[] {
  const syncing = new Set<string>();
  return trace.split('\n').flatMap((line): Step[] => {
    const [, thread = '', call = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (call.startsWith('write(1<') && call.includes('appending')) return [{ thread, kind: 'begin' }];
    if (call.startsWith('write(1<') && call.includes('acknowledged')) return [{ thread, kind: 'acknowledge' }];
    if (/^pwrite64\(\d+<[^>]*events\.db/.test(call)) return [{ thread, kind: 'write' }];
    if (/^f(data)?sync\(\d+<[^>]*events\.db/.test(call)) {
      if (!call.includes('<unfinished')) return [{ thread, kind: 'sync' }];
      syncing.add(thread);
    }
    if (/^<\.\.\. f(data)?sync resumed>/.test(call) && syncing.delete(thread)) return [{ thread, kind: 'sync' }];
    return [];
  });
}
