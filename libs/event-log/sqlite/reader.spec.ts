import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EventLog } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { NewEvent } from '#events';
import { Random } from '../../../test/support/load/random.js';

const someEvent = (data = {}): NewEvent => ({
  eventId: randomUUID(),
  type: 'Something',
  data,
  metadata: {
    ...{ commandId: randomUUID(), commandHash: '', actor: { subject: 'a-test', roles: [], via: 'test' } },
    ...{ correlationId: 'a-test', causationId: 'a-test', schemaVersion: 1, occurredAt: '2026-03-01T08:00:00.000Z' },
    ...{ previousHash: '', hash: '' },
  },
});

describe('two processes on one file', () => {
  let folder: string;
  let here: EventLog;
  let there: EventLog;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'two-readers-'));
    const file = join(folder, 'events.db');
    [here, there] = [await openSqliteEventLog({ file }), await openSqliteEventLog({ file })];
  });
  afterEach(async () => {
    await here.close();
    await there.close();
    rmSync(folder, { recursive: true });
  });

  const append = (stream: string, length: number) =>
    here.append(stream, length === 0 ? 'none' : BigInt(length - 1), [someEvent()]);
  const revisionsFrom = async (stream: string, from: number) =>
    (await there.readStream(stream, { from: BigInt(from), consistency: 'strong' })).map(({ revision }) => revision);

  it('never answer a caller from a check that was made before the call', async () => {
    await append('usage-a', 0);
    await append('usage-b', 0);
    for (let length = 1; length <= 100; length++) {
      // The reader looks up the ends of both streams here, while an event is appended to `usage-b`.
      const before = [revisionsFrom('usage-a', 1), revisionsFrom('usage-b', length)];
      await Promise.all([...before, append('usage-b', length)]);
      const after = [revisionsFrom('usage-a', 1), revisionsFrom('usage-b', length)];
      expect(await Promise.all(after)).toEqual([[], [BigInt(length)]]);
    }
  });

  it('see each other’s acknowledged events, from any position and in any order of calls', async () => {
    const random = new Random(7);
    const streams = ['usage-a', 'usage-b', 'usage-c'].map((name) => ({ name, length: 0 }));
    for (let step = 0; step < 600; step++) {
      const stream = random.pick(streams);
      if (random.next() < 0.4) {
        await append(stream.name, stream.length);
        stream.length += 1;
      } else {
        // A read without `from` never uses the remembered end of a stream. We mix such reads with reads that do use a
        // remembered end.
        const last = await there.readStream(stream.name, { direction: 'backwards', limit: 1, consistency: 'strong' });
        expect(last.map(({ revision }) => revision)).toEqual(stream.length === 0 ? [] : [BigInt(stream.length - 1)]);
        const from = Math.max(0, stream.length - random.between(0, 2));
        expect(await revisionsFrom(stream.name, from)).toEqual(
          Array.from({ length: stream.length - from }, (_, n) => BigInt(from + n)),
        );
      }
    }
  });
});

describe('large events', () => {
  const EVENTS = 30;
  /** Each character takes two bytes. */
  const CHARACTERS = 250 * 1024;
  const STREAM = 'usage-large';
  let folder: string;
  let log: EventLog;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'large-events-'));
    log = await openSqliteEventLog({ file: join(folder, 'events.db') });
    for (let revision = 0; revision < EVENTS; revision++) {
      const expected = revision === 0 ? 'none' : BigInt(revision - 1);
      await log.append(STREAM, expected, [someEvent({ text: 'ä'.repeat(CHARACTERS) })]);
    }
  });
  afterEach(async () => {
    await log.close();
    rmSync(folder, { recursive: true });
  });

  const throughSubscription = async () => {
    const stop = new AbortController();
    const events = [];
    for await (const batch of log.subscribe({ signal: stop.signal, batchSize: 1000 })) {
      events.push(...batch.events);
      if (batch.caughtUp) return events;
    }
    throw new Error('The subscription ended');
  };

  it.each([
    ['a subscription', throughSubscription],
    ['a read of the log', () => log.readAll({ limit: 1000 })],
    ['a read of the log, backwards', () => log.readAll({ limit: 1000, direction: 'backwards' })],
    ['a read of a stream', () => log.readStream(STREAM)],
    ['a read of a stream from a revision', () => log.readStream(STREAM, { from: 0n })],
    ['a read of a stream, backwards', () => log.readStream(STREAM, { direction: 'backwards' })],
  ] as const)('are parsed once each by %s, with turns for other work in between', async (_, read) => {
    let parsed = 0;
    let inThisTurn = 0;
    let mostInATurn = 0;
    const { parse } = JSON;
    const spy = jest.spyOn(JSON, 'parse').mockImplementation((text, reviver) => {
      parsed += 1;
      inThisTurn += text.length;
      mostInATurn = Math.max(mostInATurn, inThisTurn);
      return parse(text, reviver) as unknown;
    });
    let isOver = false;
    const beginTurn = () => {
      inThisTurn = 0;
      if (!isOver) setImmediate(beginTurn);
    };
    beginTurn();
    try {
      const events = await read();
      expect(events).toHaveLength(EVENTS);
      expect(parsed).toBe(2 * EVENTS);
      // One event, and a second one at most where a batch ends and the next begins.
      expect(mostInATurn).toBeLessThan(2.1 * CHARACTERS);
    } finally {
      isOver = true;
      spy.mockRestore();
    }
  });
});
