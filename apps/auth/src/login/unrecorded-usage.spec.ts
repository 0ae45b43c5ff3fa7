import type { ClientId } from '#domain';
import { USAGE_OUTCOMES, type UsageEntry } from '#events';
import { MAX_CLAIMED_IDS, MAX_USAGE_EVENT_BYTES, UnrecordedUsage } from './unrecorded-usage.js';

const clientNamed = (n: number): ClientId => `cc_${String(n).padStart(22, '0')}`;
const ONE = clientNamed(1);
const EARLIER = '2026-03-01T10:00:00.000Z';
const LATER = '2026-03-01T10:00:01.000Z';

const take = (usage: UnrecordedUsage) => usage.take().flatMap(({ entries }) => entries);
const countOf = (entries: readonly UsageEntry[]) => entries.reduce((sum, { count }) => sum + count, 0);

describe('usage that is not in any event yet', () => {
  it('is counted by client, generation, subscription and outcome, with its first and last time, in any order', () => {
    const usage = new UnrecordedUsage();
    usage.count(ONE, 1, 'sub_1', 'OK', LATER);
    usage.count(ONE, 1, 'sub_1', 'OK', EARLIER);
    usage.count(ONE, 2, 'sub_1', 'OK', EARLIER);
    usage.count(ONE, 1, 'sub_1', 'EXPIRED', EARLIER);
    usage.count(ONE, 1, null, 'OK', EARLIER);
    usage.count(clientNamed(2), 1, 'sub_1', 'OK', EARLIER);
    const once = { client: ONE, generation: 1, subscription: 'sub_1', outcome: 'OK', count: 1 };
    const then = { first: EARLIER, last: EARLIER };
    expect(usage.take()).toEqual([
      {
        entries: [
          { ...once, count: 2, first: EARLIER, last: LATER },
          { ...once, ...then, generation: 2 },
          { ...once, ...then, outcome: 'EXPIRED' },
          { ...once, ...then, subscription: null },
          { ...once, ...then, client: clientNamed(2) },
        ],
        unknownClients: 0,
      },
    ]);
  });

  it('is taken once', () => {
    const usage = new UnrecordedUsage();
    usage.count(ONE, 1, null, 'OK', EARLIER);
    usage.countUnknown();
    expect(usage.take()).toHaveLength(1);
    expect(usage.take()).toEqual([]);
  });

  it('is divided into parts that fit into events, with every entry in one of them, and the unknown clients once', () => {
    const usage = new UnrecordedUsage();
    const longest = 'x'.repeat(64);
    for (let n = 0; n < 12_000; n++) usage.count(clientNamed(n), 1_000_000, longest, 'NOT_ASSIGNED', EARLIER);
    usage.countUnknown();
    const parts = usage.take();
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) expect(JSON.stringify(part).length).toBeLessThan(MAX_USAGE_EVENT_BYTES - 2_000);
    const entries = parts.flatMap((part) => part.entries);
    expect(new Set(entries.map(({ client }) => client)).size).toBe(12_000);
    expect(entries).toHaveLength(12_000);
    expect(parts.map(({ unknownClients }) => unknownClients)).toEqual([1, ...parts.slice(1).map(() => 0)]);
  });

  it('stays small, and loses no attempt, when somebody tries thousands of combinations', () => {
    const usage = new UnrecordedUsage(100);
    let tried = 0;
    for (let n = 0; n < 100_000; n++, tried++) {
      const outcome = USAGE_OUTCOMES[n % USAGE_OUTCOMES.length] ?? 'OK';
      usage.count(clientNamed(n % 3), n % 50, `sub_${n % 1_000}`, outcome, EARLIER);
    }
    expect(usage.isFull).toBe(true);
    const entries = take(usage);
    expect(entries.length).toBeLessThanOrEqual(100 + 3 * USAGE_OUTCOMES.length);
    expect(countOf(entries)).toBe(tried);
    const coarse = entries.filter(({ subscription }) => subscription === undefined);
    expect(new Set(coarse.map(({ client, outcome }) => `${client} ${outcome}`)).size).toBe(coarse.length);
    expect(usage.isFull).toBe(false);
  });

  it('keeps a bounded number of made-up ids', () => {
    const usage = new UnrecordedUsage();
    for (let n = 0; n < 10_000; n++) usage.countClaimed(clientNamed(n), 'BAD_SECRET', EARLIER);
    usage.countClaimed(ONE, 'RATE_LIMITED', LATER);
    const claimed = usage.claimedIds();
    expect(claimed).toHaveLength(MAX_CLAIMED_IDS);
    for (const id of claimed) usage.settleClaims(id, id === ONE);
    const ofOne = { client: ONE, generation: null, subscription: null, count: 1 };
    expect(usage.take()).toEqual([
      {
        entries: [
          { ...ofOne, outcome: 'BAD_SECRET', first: EARLIER, last: EARLIER },
          { ...ofOne, outcome: 'RATE_LIMITED', first: LATER, last: LATER },
        ],
        unknownClients: 9_999,
      },
    ]);
    expect(usage.claimedIds()).toEqual([]);
  });
});
