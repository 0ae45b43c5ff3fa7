import fc from 'fast-check';
import { type Instant, secondsAfter } from '#domain';
import { USAGE_OUTCOMES, type UsageEntry } from '#events';
import { type ClientDocument, projections, type UsageDocument } from '#read-models';
import { clientNamed, plainFold, Stage, storedDocuments, usageEntry } from '../../../../test/replay/stage.js';

const { clients, usage } = projections;

const ONE = clientNamed('one');
const TWO = clientNamed('two');
const hour = (n: number): Instant => new Date(Date.UTC(2026, 2, 1, n)).toISOString();

describe('when clients were last used', () => {
  let stage: Stage;
  beforeEach(async () => {
    stage = await Stage.open(hour(100));
  });
  afterEach(() => stage.close());

  const documents = async (): Promise<Record<string, UsageDocument>> =>
    Object.fromEntries([...plainFold(usage, await stage.events())].map(([id, { doc }]) => [id, doc]));
  const record = (...entries: readonly UsageEntry[]) => stage.recordUsage('auth-1', entries);

  it('is known for each client and for each generation of its credential', async () => {
    await record(usageEntry(ONE, hour(1)), usageEntry(ONE, hour(3), { generation: 2 }), usageEntry(TWO, hour(2)));
    await stage.recordUsage('auth-2', [usageEntry(ONE, hour(2), { subscription: 'weather' })]);
    expect(await documents()).toEqual({
      [ONE]: {
        clientId: ONE,
        lastUsedAt: hour(3),
        generations: [
          { generation: 1, lastUsedAt: hour(2) },
          { generation: 2, lastUsedAt: hour(3) },
        ],
      },
      [TWO]: { clientId: TWO, lastUsedAt: hour(2), generations: [{ generation: 1, lastUsedAt: hour(2) }] },
    });
  });

  it('is told by successes only: a client that was always refused was never used', async () => {
    await record(usageEntry(ONE, hour(1)));
    for (const outcome of USAGE_OUTCOMES.filter((each) => each !== 'OK')) {
      await record(usageEntry(ONE, hour(2), { outcome }), usageEntry(TWO, hour(2), { outcome }));
    }
    expect(await documents()).toEqual({
      [ONE]: { clientId: ONE, lastUsedAt: hour(1), generations: [{ generation: 1, lastUsedAt: hour(1) }] },
    });
  });

  it('is known for the client where the generation was not recorded', async () => {
    await stage.recordUsage('auth-1', [usageEntry(ONE, hour(1))], 'previous');
    expect((await stage.events()).at(-1)).toMatchObject({ metadata: { schemaVersion: 1 } });
    expect(await documents()).toEqual({ [ONE]: { clientId: ONE, lastUsedAt: hour(1), generations: [] } });
    await record(usageEntry(ONE, hour(0), { generation: 2 }));
    expect((await documents())[ONE]).toEqual({
      ...{ clientId: ONE, lastUsedAt: hour(1), generations: [{ generation: 2, lastUsedAt: hour(0) }] },
    });
  });

  it('is the same for any order of the events, which may repeat, and is bounded', async () => {
    const uses = fc.array(
      fc.record({ generation: fc.integer({ min: 1, max: 40 }), at: fc.integer({ max: 99, min: 0 }) }),
      {
        minLength: 1,
        maxLength: 80,
      },
    );
    const ordered = uses.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    await record(usageEntry(ONE, hour(0)));
    const [recorded] = (await stage.events()).slice(-1);
    if (!recorded) throw new Error('Nothing was recorded');
    const fold = (all: readonly { generation: number; at: number }[]) =>
      plainFold(
        usage,
        all.map(({ generation, at }) => {
          const entries = [usageEntry(ONE, hour(at), { generation })];
          return { ...recorded, data: { ...recorded.data, entries } };
        }),
      ).get(ONE)?.doc;
    fc.assert(
      fc.property(ordered, ([some, others]) => {
        const doc = fold([...some, ...some]);
        expect(fold(others)).toEqual(doc);
        const times = some.map(({ at }) => hour(at)).sort();
        expect(doc?.lastUsedAt).toBe(times.at(-1));
        const newest = [...new Set(some.map(({ generation }) => generation))].sort((a, b) => b - a).slice(0, 10);
        expect(doc?.generations.map(({ generation }) => generation)).toEqual(newest.reverse());
      }),
    );
  });

  describe('after a clock was ahead', () => {
    /** Folds uses of one client. `recordedAt`: the time of the event that tells of the use. */
    const fold = async (...uses: readonly { readonly last: Instant; readonly recordedAt: Instant }[]) => {
      await record(usageEntry(ONE, hour(0)));
      const [recorded] = (await stage.events()).slice(-1);
      if (!recorded) throw new Error('Nothing was recorded');
      const events = uses.map(({ last, recordedAt }) => ({
        ...recorded,
        data: { ...recorded.data, entries: [usageEntry(ONE, last)] },
        metadata: { ...recorded.metadata, occurredAt: recordedAt },
      }));
      return plainFold(usage, events).get(ONE)?.doc;
    };
    const at = (lastUsedAt: Instant) => ({ clientId: ONE, lastUsedAt, generations: [{ generation: 1, lastUsedAt }] });

    it('is corrected by the next use if it was more than a day ahead', async () => {
      const ahead = { last: hour(30), recordedAt: hour(30) };
      expect(await fold(ahead)).toEqual(at(hour(30)));
      expect(await fold(ahead, { last: hour(2), recordedAt: hour(5) })).toEqual(at(hour(2)));
      expect(await fold(ahead, { last: hour(2), recordedAt: hour(6) })).toEqual(at(hour(30)));
    });

    it('is never later than the record of the use', async () => {
      expect(await fold({ last: hour(5), recordedAt: hour(2) })).toEqual(at(hour(2)));
    });

    it('is not set back by a process that records an earlier use later, or whose clock is 5 s behind', async () => {
      const known = { last: hour(4), recordedAt: hour(4) };
      expect(await fold(known, { last: hour(2), recordedAt: hour(5) })).toEqual(at(hour(4)));
      const behind = secondsAfter(hour(4), -5);
      expect(await fold(known, { last: behind, recordedAt: behind })).toEqual(at(hour(4)));
    });

    it.each([
      ['a minute', 60],
      ['a day', 86_400],
    ])('is not set back by a record that is sent again, unchanged, after an outage of %s', async (_outage, seconds) => {
      const [recordedAt, last] = [hour(4), secondsAfter(hour(4), -20)];
      const sentAgain = { last, recordedAt };
      const known = secondsAfter(recordedAt, seconds);
      expect(await fold({ last: known, recordedAt: known }, sentAgain)).toEqual(at(known));
    });
  });

  it('rewrites no document of the clients: a minute of usage only moves their checkpoint', async () => {
    await stage.create('one');
    await stage.create('two');
    await stage.projectAll();
    const before = await storedDocuments<ClientDocument>(stage.store, 'clients_v4_1');
    const checkpoint = await stage.store.checkpoint('clients_v4_1');
    const write = jest.spyOn(stage.store, 'write');
    await stage.used('auth-1', { [ONE]: hour(1), [TWO]: hour(1) });
    await stage.project(clients);
    expect(write.mock.calls.flatMap(([, writes]) => writes)).toEqual([]);
    expect(await storedDocuments(stage.store, 'clients_v4_1')).toEqual(before);
    expect(await stage.store.checkpoint('clients_v4_1')).not.toEqual(checkpoint);
    await stage.project(usage);
    const written = write.mock.calls.flatMap(([build, writes]) => writes.map(({ id }) => [build, id]));
    expect(written).toEqual([
      ['usage_v2_1', ONE],
      ['usage_v2_1', TWO],
    ]);
  });
});
