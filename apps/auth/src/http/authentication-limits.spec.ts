import { AuthenticationLimits } from './authentication-limits.js';
import { OAuthError } from './oauth-error.js';

const limits = (loginPerClient: number, loginPerAddress: number) =>
  new AuthenticationLimits({ rateLimits: { managementPerSubject: 0, loginPerClient, loginPerAddress } });

const thrown = (work: () => unknown): OAuthError => {
  try {
    work();
  } catch (error) {
    if (error instanceof OAuthError) return error;
    throw error;
  }
  throw new Error('Nothing was refused');
};

describe('good authentications', () => {
  it('are counted by client; one beyond the limit is refused before and after its work', () => {
    const limit = limits(2, 0);
    limit.requireLeft('ada');
    expect(limit.countGood('ada')).toMatchObject({ 'RateLimit-Limit': '2', 'RateLimit-Remaining': '1' });
    limit.requireLeft('ada');
    expect(limit.countGood('ada')).toMatchObject({ 'RateLimit-Remaining': '0' });
    for (const refusal of [
      thrown(() => {
        limit.requireLeft('ada');
      }),
      thrown(() => limit.countGood('ada')),
    ]) {
      expect(refusal).toMatchObject({
        status: 429,
        code: 'temporarily_unavailable',
        headers: { 'retry-after': '60', 'RateLimit-Limit': '2', 'RateLimit-Remaining': '0', 'RateLimit-Reset': '60' },
      });
    }
    limit.requireLeft('bob');
    expect(limit.countGood('bob')).toMatchObject({ 'RateLimit-Remaining': '1' });
  });

  it('are not used up by refusals of that client, however many', () => {
    const limit = limits(1, 1);
    for (let i = 0; i < 100; i++) expect(limit.refusal('ada').status).toBe(i === 0 ? 401 : 429);
    for (let i = 0; i < 100; i++) limit.madeUpRefusal('203.0.113.7');
    limit.requireLeft('ada');
    expect(limit.countGood('ada')).toMatchObject({ 'RateLimit-Remaining': '0' });
  });
});

describe('made-up credentials', () => {
  it('are counted by address, an IPv6 /64 as one', () => {
    const limit = limits(0, 2);
    const statuses = (...addresses: string[]) => addresses.map((address) => limit.madeUpRefusal(address).status);
    expect(statuses('203.0.113.7', '203.0.113.7', '203.0.113.7', '203.0.113.8')).toEqual([401, 401, 429, 401]);
    expect(statuses('2001:db8::1', '2001:db8::2', '2001:db8:0:0:ffff::3', '2001:db8:0:1::3')).toEqual([
      401, 401, 429, 401,
    ]);
  });

  it('from more addresses than are remembered do not refuse a new address', () => {
    const limit = limits(0, 1);
    for (let i = 0; i < 60_000; i++) {
      const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
      if (limit.madeUpRefusal(address).status !== 401) throw new Error(`${address} was not the first of its kind`);
    }
    expect(limit.madeUpRefusal('203.0.113.7').status).toBe(401);
    expect(limit.madeUpRefusal('203.0.113.7').status).toBe(429);
  });
});

it('a 401 does not say how many attempts are left, because that would reveal its reason', () => {
  const limit = limits(5, 7);
  expect(limit.refusal('ada').headers).toEqual(limit.madeUpRefusal('203.0.113.7').headers);
});

it('a limit of 0 switches the limit off', () => {
  const limit = limits(0, 0);
  for (let i = 0; i < 10; i++) {
    limit.requireLeft('ada');
    expect(limit.countGood('ada')).toEqual({});
    expect(limit.refusal('ada').status).toBe(401);
    expect(limit.madeUpRefusal('203.0.113.7').status).toBe(401);
  }
});
