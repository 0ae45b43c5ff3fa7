import {
  calledEndpoint,
  gatewaySecretCheck,
  type GatewaySettings,
  headersLookedAt,
  presentedToken,
  soleHeaders,
} from './gateway-request.js';

const SECRET = 'a'.repeat(43);
const settings = (given: Partial<GatewaySettings> = {}): GatewaySettings => ({
  uriFrom: 'header',
  refusals: 'marketplace',
  tokenHeader: 'x-apx-authorization',
  secret: SECRET,
  maxLagMs: 1000,
  ...given,
});
const read = (rawHeaders: readonly string[], given?: Partial<GatewaySettings>) =>
  soleHeaders(rawHeaders, headersLookedAt(settings(given)));

describe('the endpoint comes from one place', () => {
  /** Each of these headers names a different endpoint. */
  const everywhere = [
    ...['X-Endpoint-Uri', 'from-header'],
    ...['X-Original-URI', '/from-original/a'],
    ...['X-Forwarded-Uri', '/from-forwarded/a'],
  ];
  const url = '/gateway/check/from-path/a?b';

  it.each([
    ['header', 'from-header'],
    ['x-original-uri', 'from-original'],
    ['x-forwarded-uri', 'from-forwarded'],
    ['path', 'from-path'],
  ] as const)('%s', (uriFrom, endpoint) => {
    const without = everywhere.filter((_, i) => {
      const name = everywhere[i - (i % 2)]?.toLowerCase();
      return name !== (uriFrom === 'header' ? 'x-endpoint-uri' : uriFrom);
    });
    expect(calledEndpoint(uriFrom, read(everywhere, { uriFrom }) ?? new Map(), url)).toBe(endpoint);
    const elsewhere = read(without, { uriFrom }) ?? new Map<string, string>();
    expect(calledEndpoint(uriFrom, elsewhere, '/gateway/check')).toBeUndefined();
  });

  it.each(['', 'Weather', 'weather/', '/weather', 'weather/a', 'we', 'weather, tides', 'weather%2fa', '..', 'a b c'])(
    'a header that says %j names none',
    (value) => {
      const headers = read(['x-endpoint-uri', value]) ?? new Map<string, string>();
      expect(calledEndpoint('header', headers, '/gateway/check')).toBeUndefined();
    },
  );

  it.each(['/gateway/check', '/gateway/check/', '/gateway/check?/weather', '/gateway/check//weather'])(
    'the path %s names none',
    (path) => {
      expect(calledEndpoint('path', new Map(), path)).toBeUndefined();
    },
  );
});

describe('the token', () => {
  const token = (...rawHeaders: string[]) => {
    const headers = read(rawHeaders);
    return headers && presentedToken(headers, 'x-apx-authorization');
  };

  it('comes from the token header, with or without Bearer', () => {
    expect(token('X-APX-Authorization', 'a.b.c')).toBe('a.b.c');
    expect(token('x-apx-authorization', 'Bearer a.b.c')).toBe('a.b.c');
    expect(token('x-apx-authorization', 'bearer  a.b.c')).toBe('a.b.c');
  });

  it('comes from Authorization if that header is missing, and only as Bearer', () => {
    expect(token('Authorization', 'Bearer a.b.c')).toBe('a.b.c');
    expect(token('Authorization', 'Basic YTpi')).toBeUndefined();
    expect(token('Authorization', 'a.b.c')).toBeUndefined();
    expect(token('Authorization', 'Bearer')).toBeUndefined();
    expect(token('Authorization', 'Bearer a b')).toBeUndefined();
    expect(token('Cookie', 'token=a.b.c')).toBeUndefined();
  });

  it('never comes from Authorization if that header was sent', () => {
    expect(token('x-apx-authorization', 'd.e.f', 'Authorization', 'Bearer a.b.c')).toBe('d.e.f');
    expect(token('x-apx-authorization', '', 'Authorization', 'Bearer a.b.c')).toBeUndefined();
    expect(token('x-apx-authorization', 'Basic YTpi', 'Authorization', 'Bearer a.b.c')).not.toBe('a.b.c');
  });

  it('can be configured to come from Authorization alone', () => {
    const headers = read(['Authorization', 'Bearer a.b.c'], { tokenHeader: 'authorization' }) ?? new Map();
    expect(presentedToken(headers, 'authorization')).toBe('a.b.c');
    expect(presentedToken(new Map([['authorization', 'Basic YTpi']]), 'authorization')).toBeUndefined();
  });
});

it.each(['X-Gateway-Secret', 'X-Endpoint-Uri', 'X-Apx-Authorization', 'Authorization'])(
  'a repeated %s makes the request unreadable, even with the same value',
  (name) => {
    expect(read([name, 'a', 'Accept', '*/*', name.toLowerCase(), 'a'])).toBeUndefined();
  },
);

it('other headers may be repeated, also those from which another configuration takes the endpoint', () => {
  const twice = ['Accept', 'X-Original-URI', 'X-Forwarded-Uri', '__proto__'].flatMap((name) => [
    name,
    '/a',
    name,
    '/b',
  ]);
  expect(read([...twice, 'X-Endpoint-Uri', 'weather'])).toEqual(new Map([['x-endpoint-uri', 'weather']]));
  expect(read(twice, { uriFrom: 'x-original-uri' })).toBeUndefined();
});

it('the secret is compared byte for byte', () => {
  const isSecret = gatewaySecretCheck(SECRET);
  expect(isSecret(SECRET)).toBe(true);
  for (const other of [undefined, '', SECRET.slice(1), `${SECRET}a`, SECRET.toUpperCase()]) {
    expect(isSecret(other)).toBe(false);
  }
});
