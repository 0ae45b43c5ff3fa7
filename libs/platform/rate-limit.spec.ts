import { RateLimit, rateLimited, rateLimitHeaders, type RateLimitState } from '#platform';

const limitAt = (limit: number, options: { maxKeys?: number } = {}) => {
  const clock = { now: 0 };
  return { clock, rate: new RateLimit({ limit, windowSeconds: 60, now: () => clock.now, ...options }) };
};
const take = (rate: RateLimit, key: string): RateLimitState => {
  const state = rate.take(key);
  if (!state) throw new Error('The limit is off');
  return state;
};

describe('a rate limit', () => {
  it('lets a key call so often in a window, and again in the next', () => {
    const { clock, rate } = limitAt(2);
    expect(take(rate, 'portal')).toEqual({ allowed: true, limit: 2, remaining: 1, resetSeconds: 60 });
    clock.now = 59_500;
    expect(take(rate, 'portal')).toEqual({ allowed: true, limit: 2, remaining: 0, resetSeconds: 1 });
    expect(take(rate, 'portal')).toMatchObject({ allowed: false, remaining: 0, resetSeconds: 1 });
    clock.now = 60_000;
    expect(take(rate, 'portal')).toMatchObject({ allowed: true, remaining: 1, resetSeconds: 60 });
  });

  it('counts each key on its own, also when there are more than it remembers', () => {
    const { rate } = limitAt(1, { maxKeys: 10 });
    for (let key = 0; key < 1000; key += 1) expect(take(rate, `subject-${key}`).allowed).toBe(true);
    expect(take(rate, 'subject-999').allowed).toBe(false);
  });

  it('says whether a key has calls left, uses up none by that, and counts what it refuses', () => {
    const { clock, rate } = limitAt(1);
    expect(rate.spent('portal')).toBeUndefined();
    expect(take(rate, 'portal').allowed).toBe(true);
    expect(rate.spent('portal')).toEqual({ allowed: false, limit: 1, remaining: 0, resetSeconds: 60 });
    expect(rate.spent('another')).toBeUndefined();
    expect(take(rate, 'portal').allowed).toBe(false);
    expect(rate.refusals).toBe(2);
    clock.now = 60_000;
    expect(rate.spent('portal')).toBeUndefined();
    expect(take(rate, 'portal').allowed).toBe(true);
    expect(rate.refusals).toBe(2);
  });

  it('is off at 0', () => {
    const { rate } = limitAt(0);
    expect(rate.take('portal')).toBeUndefined();
    expect(rate.spent('portal')).toBeUndefined();
  });

  it('tells the caller when to come back', () => {
    const { rate } = limitAt(1);
    expect(rateLimitHeaders(take(rate, 'portal'))).toEqual({
      'RateLimit-Limit': '1',
      'RateLimit-Remaining': '0',
      'RateLimit-Reset': '60',
    });
    expect(rateLimited(take(rate, 'portal'))).toMatchObject({
      status: 429,
      code: 'RATE_LIMITED',
      headers: { 'Retry-After': '60', 'RateLimit-Remaining': '0' },
    });
  });
});
