import type { ClientId } from '#domain';
import { MAX_USAGE_EVENT_BYTES, UnrecordedUsage } from './unrecorded-usage.js';

const clientNamed = (n: number): ClientId => `cc_${String(n).padStart(22, '0')}`;
const EARLIER = '2026-03-01T10:00:00.000Z';
const LATER = '2026-03-01T10:00:01.000Z';

describe('usage that no event tells of yet', () => {
  it('is how often each client was seen, and when last, in whatever order it was heard of', () => {
    const usage = new UnrecordedUsage();
    usage.seen(clientNamed(1), LATER);
    usage.seen(clientNamed(1), EARLIER);
    usage.seen(clientNamed(2), EARLIER);
    expect(usage.take()).toEqual([
      {
        [clientNamed(1)]: { uses: 2, lastUsedAt: LATER },
        [clientNamed(2)]: { uses: 1, lastUsedAt: EARLIER },
      },
    ]);
  });

  it('is taken once', () => {
    const usage = new UnrecordedUsage();
    usage.seen(clientNamed(1), EARLIER);
    usage.take();
    expect(usage.take()).toEqual([]);
  });

  it('comes in parts that fit into events, with every client in one of them', () => {
    const usage = new UnrecordedUsage();
    for (let n = 0; n < 12_000; n++) usage.seen(clientNamed(n), EARLIER);
    const parts = usage.take();
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) expect(JSON.stringify(part).length).toBeLessThan(MAX_USAGE_EVENT_BYTES - 2_000);
    expect(new Set(parts.flatMap((part) => Object.keys(part))).size).toBe(12_000);
    expect(parts.reduce((sum, part) => sum + Object.keys(part).length, 0)).toBe(12_000);
  });
});
