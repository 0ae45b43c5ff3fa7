import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EventLog } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { NewEvent } from '#events';
import { Random } from '../../../test/support/random.js';

const someEvent = (): NewEvent => ({
  eventId: randomUUID(),
  type: 'Something',
  data: {},
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

  it('answer nobody by a look that was taken before he asked', async () => {
    await append('usage-a', 0);
    await append('usage-b', 0);
    for (let length = 1; length <= 100; length++) {
      // Both ends are known by now, and asked for again.
      const before = [revisionsFrom('usage-a', 1), revisionsFrom('usage-b', length)];
      await Promise.all([...before, append('usage-b', length)]);
      const after = [revisionsFrom('usage-a', 1), revisionsFrom('usage-b', length)];
      expect(await Promise.all(after)).toEqual([[], [BigInt(length)]]);
    }
  });

  it('see each other’s acknowledged events, wherever they read on, in whatever order', async () => {
    const random = new Random(7);
    const streams = ['usage-a', 'usage-b', 'usage-c'].map((name) => ({ name, length: 0 }));
    for (let step = 0; step < 600; step++) {
      const stream = random.pick(streams);
      if (random.next() < 0.4) {
        await append(stream.name, stream.length);
        stream.length += 1;
      } else {
        // Without a place to begin at a read takes no look, but may follow one.
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
