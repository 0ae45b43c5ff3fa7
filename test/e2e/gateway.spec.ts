import { createHmac, createPublicKey } from 'node:crypto';
import { statSync } from 'node:fs';
import { METHODS } from 'node:http';
import { join } from 'node:path';
import { decodeJwt, type JWK } from 'jose';
import { type Call, GatewayDouble, gatewaySecretOf } from '../support/api/gateway.js';
import { eventually, send } from '../support/api/http.js';
import { apiKeyLogin, basic, form, oauthLogin, postLogin } from '../support/api/login.js';
import { metricOf } from '../support/api/metrics.js';
import { type NewClient, Portal, secretOf } from '../support/api/portal.js';
import { sendLines } from '../support/api/raw-http.js';
import { idleMs, LoadMeter } from '../support/load/load-meter.js';
import { Standalone } from '../support/processes/standalone.js';

let server: Standalone;
let portal: Portal;
let gateway: GatewayDouble;
let client: NewClient;
let token: string;

beforeAll(async () => {
  server = await Standalone.startReady({ env: { LOG_LEVEL: 'info' } });
  portal = Portal.of(server);
  gateway = new GatewayDouble(server);
  await portal.register('sub_weather', { endpointUri: 'weather' });
  await portal.register('sub_tides', { endpointUri: 'tides' });
  ({ client, token } = await consumerOf(server, portal, 'sub_weather'));
});

afterAll(() => server.stop());

async function consumerOf({ url }: Standalone, office: Portal, subscriptionId: string) {
  const created = await office.newClient('OAUTH2');
  await office.assign(created.clientId, subscriptionId);
  return { client: created, token: (await oauthLogin(url, created)).body.access_token };
}

describe('a good call', () => {
  test('is answered with the consumer’s identity', async () => {
    const answer = await gateway.check({ token });
    expect(answer.status).toBe(200);
    expect(answer.header('x-auth-code')).toBe('GOOD');
    expect(answer.header('cache-control')).toBe('no-store');
    expect(answer.header('x-consumer-client-id')).toBe(client.clientId);
    expect(answer.header('x-consumer-workspace-id')).toBe('acme');
    expect(answer.header('x-consumer-subscription-id')).toBe('sub_weather');
    expect(answer.text).toBe('');
  });

  test('may come with any method and any body', async () => {
    const bodies: Record<string, unknown> = {
      'application/json': Buffer.from('{"broken'),
      'no type at all': Buffer.alloc(300_000, 'x'),
      'application/grpc': Buffer.from([0, 1, 2]),
      'multipart/form-data': Buffer.from('--'),
    };
    for (const method of METHODS.filter((each) => each !== 'CONNECT')) {
      expect(await gateway.ask({ token, method })).toBe('200 GOOD');
    }
    for (const [type, body] of Object.entries(bodies)) {
      expect(await gateway.ask({ token, method: 'POST', headers: { 'content-type': type }, body })).toBe('200 GOOD');
    }
  });

  test('carries its token in one header or the other, with a static token as with a short one', async () => {
    const withKey = await portal.newClient('API_KEY');
    await portal.assign(withKey.clientId, 'sub_weather');
    const fixed = (await apiKeyLogin(server.url, withKey.secret)).body.access_token;
    expect(await gateway.ask({ headers: { 'x-apx-authorization': fixed } })).toBe('200 GOOD');
    expect(await gateway.ask({ headers: { 'x-apx-authorization': `Bearer ${token}` } })).toBe('200 GOOD');
    expect(await gateway.ask({ token: 'of-the-provider', headers: { 'x-apx-authorization': token } })).toBe('200 GOOD');
    expect(await gateway.ask({ token, headers: { 'x-apx-authorization': 'x' } })).toBe('403 NOT_A_TOKEN');
    expect(await gateway.ask({ token, headers: { 'x-apx-authorization': '' } })).toBe('401 NO_TOKEN');
  });

  test('is good right after its login, its assignment, and its rotation', async () => {
    for (let round = 0; round < 20; round++) {
      const created = await portal.newClient('API_KEY');
      await portal.assign(created.clientId, 'sub_weather');
      const first = (await apiKeyLogin(server.url, created.secret)).body.access_token;
      expect(await gateway.ask({ token: first })).toBe('200 GOOD');
      const secret = secretOf((await portal.rotate(created.clientId)).body.credential);
      const second = (await apiKeyLogin(server.url, secret)).body.access_token;
      expect(await gateway.ask({ token: second })).toBe('200 GOOD');
      await portal.assign(created.clientId, 'sub_tides');
      expect(await gateway.ask({ token: second, endpoint: 'tides' })).toBe('200 GOOD');
    }
  });
});

describe('a call that must not reach the provider', () => {
  test('without a token is 401, and says how to authenticate', async () => {
    for (const call of [
      {},
      { headers: { authorization: basic('a', 'b') } },
      { path: `/gateway/check?access_token=${token}&token=${token}` },
      { method: 'POST', ...form({ access_token: token }) },
      { headers: { cookie: `access_token=${token}` } },
    ]) {
      const answer = await gateway.check(call);
      expect(answer.status).toBe(401);
      expect(answer.header('www-authenticate')).toMatch(/^Bearer /);
      expect(answer.header('cache-control')).toBe('no-store');
      expect(answer.header('x-auth-code')).toBe('NO_TOKEN');
      expect(answer.headers).not.toHaveProperty('x-consumer-client-id');
    }
  });

  test('with anything but a token of ours is 403', async () => {
    const [header = '', payload = '', signature = ''] = token.split('.');
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const { keys } = (await send<{ keys: [JWK & { kid: string }] }>('GET', server.url, '/.well-known/jwks.json')).body;
    const publicPem = createPublicKey({ key: keys[0], format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const hs256 = `${encoded({ alg: 'HS256', kid: keys[0].kid, typ: 'at+jwt' })}.${payload}`;
    const { refresh_token: refreshToken = '' } = (await oauthLogin(server.url, client)).body;
    const forged: Record<string, string> = {
      'nothing like a token': 'x',
      'two parts': `${header}.${payload}`,
      'a stripped signature': `${header}.${payload}.`,
      'another signature': `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
      'alg none': `${encoded({ alg: 'none', typ: 'at+jwt' })}.${payload}.`,
      'HMAC with the public key': `${hs256}.${createHmac('sha256', publicPem).update(hs256).digest('base64url')}`,
      'tampered claims': `${header}.${encoded({ ...decodeJwt(token), generation: 2 })}.${signature}`,
      'an unknown kid': `${encoded({ alg: 'EdDSA', kid: 'unknown', typ: 'at+jwt' })}.${payload}.${signature}`,
      'a management token': portal.token,
      'the administrator’s': server.adminToken,
      'a refresh token': refreshToken,
      'an oversized one': `${token}${'A'.repeat(4000)}`,
    };
    for (const [what, made] of Object.entries(forged)) {
      expect({ what, answer: await gateway.ask({ token: made }) }).toEqual({ what, answer: '403 NOT_A_TOKEN' });
    }
  });

  test('to another endpoint is 403', async () => {
    expect(await gateway.ask({ token, endpoint: 'tides' })).toBe('403 NOT_ASSIGNED');
    expect(await gateway.ask({ token, endpoint: 'unknown-endpoint' })).toBe('403 SUBSCRIPTION_NOT_LIVE');
    const both = await portal.newClient('OAUTH2');
    for (const subscriptionId of ['sub_weather', 'sub_tides']) await portal.assign(both.clientId, subscriptionId);
    const forWeather = (await oauthLogin(server.url, both, 'weather')).body.access_token;
    expect(await gateway.ask({ token: forWeather })).toBe('200 GOOD');
    expect(await gateway.ask({ token: forWeather, endpoint: 'tides' })).toBe('403 OTHER_SUBSCRIPTION');
  });

  test('from a caller that is not one of our gateways is 403', async () => {
    const secret = gatewaySecretOf(server);
    for (const wrong of [undefined, '', 'x', secret.slice(1), `${secret}x`]) {
      expect(await gateway.ask({ token, headers: { 'x-gateway-secret': wrong } })).toBe('403 NOT_A_GATEWAY');
    }
    const { mode } = statSync(join(server.dataDir, 'gateway.secret'));
    expect(mode & 0o777).toBe(0o600);
    expect(server.output()).not.toContain(secret);
  });

  test('with a header that is given twice is 403', async () => {
    const authorization = `Bearer ${token}`;
    for (const [name, value] of Object.entries({
      'X-Gateway-Secret': gatewaySecretOf(server),
      'X-Endpoint-Uri': 'weather',
      'X-Apx-Authorization': token,
      Authorization: authorization,
    })) {
      const given = { 'X-Gateway-Secret': gatewaySecretOf(server), 'X-Endpoint-Uri': 'weather', authorization };
      const lines = [...Object.entries(given), [name, value], [name, value]].map((line) => line.join(': '));
      const answer = await sendLines(server.url, [
        'GET /gateway/check HTTP/1.1',
        'Host: x',
        'Connection: close',
        ...lines,
      ]);
      expect(answer).toMatch(/^HTTP\/1.1 403 [^]*x-auth-code: HEADER_REPEATED/i);
    }
  });

  test.each([
    ['a header without a colon', 'MALFORMED_REQUEST', 'no colon'],
    ['a control character in a header', 'MALFORMED_REQUEST', 'X-Note: a\u0001b'],
    ['two lengths', 'MALFORMED_REQUEST', 'Content-Length: 1\r\nContent-Length: 2'],
  ])('that has %s is 403', async (_what, code, line) => {
    for (const target of ['/gateway/check', '/gateway/check/weather?a=1', 'http://x/gateway/check']) {
      const answer = await sendLines(server.url, [`GET ${target} HTTP/1.1`, 'Host: x', line]);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 403 [^]*x-auth-code: ${code}`, 'i'));
    }
    expect(await sendLines(server.url, ['GET /elsewhere HTTP/1.1', 'Host: x', line])).toMatch(/^HTTP\/1.1 400 /);
  });

  test('whose path names no endpoint is 403, even if another header names one', async () => {
    for (const endpoint of ['', '/weather', 'weather/', 'Weather', '../weather', 'weather%2f', 'weather, tides']) {
      const elsewhere = { 'x-endpoint-uri': endpoint, 'x-original-uri': '/weather', 'x-forwarded-uri': '/weather' };
      expect(await gateway.ask({ token, headers: elsewhere })).toBe('403 NOT_AN_ENDPOINT');
    }
    const none = { 'x-endpoint-uri': undefined };
    expect(await gateway.ask({ token, headers: none, path: '/gateway/check/weather' })).toBe('403 NOT_AN_ENDPOINT');
  });
});

describe('revoked means revoked', () => {
  let load: LoadMeter;
  beforeEach(() => {
    load = new LoadMeter();
  });
  afterEach(() => {
    load.stop();
  });

  /**
   * Makes the token invalid by calling `end`. Resolves to the number of milliseconds from the acknowledgement of `end`
   * to the first refusal of the token.
   */
  async function untilRefused(good: string, end: () => Promise<unknown>): Promise<number> {
    expect(await gateway.ask({ token: good })).toBe('200 GOOD');
    await end();
    const acknowledgedAt = performance.now();
    await eventually(
      () => gateway.check({ token: good }),
      ({ status }) => status === 403,
    );
    return performance.now() - acknowledgedAt;
  }

  test('in whichever way a token is ended, the next calls are refused', async () => {
    const ends: Record<string, (consumer: NewClient, good: string) => Promise<unknown>> = {
      revoked: ({ clientId }) => portal.revoke(clientId),
      unassigned: ({ clientId }) => portal.unassign(clientId, 'sub_weather'),
      rotated: ({ clientId }) => portal.rotate(clientId),
      'the token revoked': ({ clientId, secret }, good) =>
        send('POST', server.url, '/oauth/revoke', form({ token: good }, { authorization: basic(clientId, secret) })),
    };
    for (const end of Object.values(ends)) {
      const { client: consumer, token: good } = await consumerOf(server, portal, 'sub_weather');
      expect(await untilRefused(good, () => end(consumer, good))).toBeLessThan(1000 * load.slowdown);
    }
    await portal.register('sub_over', { endpointUri: 'over' });
    const { token: good } = await consumerOf(server, portal, 'sub_over');
    expect(await gateway.ask({ token: good, endpoint: 'over' })).toBe('200 GOOD');
    await portal.end('sub_over');
    const refused = () =>
      eventually(
        () => gateway.ask({ token: good, endpoint: 'over' }),
        (answer) => answer === '403 SUBSCRIPTION_NOT_LIVE',
      );
    expect(await idleMs(refused)).toBeLessThan(1000);
  });

  test('within 50 ms in 99 of 100 cases', async () => {
    const delays: number[] = [];
    for (let round = 0; round < 100; round++) {
      const { client: consumer, token: good } = await consumerOf(server, portal, 'sub_weather');
      delays.push(await untilRefused(good, () => portal.revoke(consumer.clientId)));
    }
    delays.sort((a, b) => a - b);
    expect(delays[98]).toBeLessThan(50 * load.slowdown);
  });
});

test('GATEWAY_REFUSALS=rfc6750: 401 for a token that is not good, 403 for one that is not good for the endpoint', async () => {
  const other = await Standalone.startReady({ env: { GATEWAY_REFUSALS: 'rfc6750' } });
  try {
    const [office, asking] = [Portal.of(other), new GatewayDouble(other)];
    await office.register('sub_weather', { endpointUri: 'weather' });
    await office.register('sub_tides', { endpointUri: 'tides' });
    const { client: consumer, token: good } = await consumerOf(other, office, 'sub_weather');
    const rotated = await consumerOf(other, office, 'sub_weather');
    await office.rotate(rotated.client.clientId);
    const ask = async (call: Call) => {
      const { status, headers } = await asking.check(call);
      return [status, headers['x-auth-code'], headers['www-authenticate']];
    };
    const [invalid, insufficient] = ['Bearer error="invalid_token"', 'Bearer error="insufficient_scope"'];
    expect(await ask({ token: good })).toEqual([200, 'GOOD', undefined]);
    expect(await ask({})).toEqual([401, 'NO_TOKEN', 'Bearer realm="consumer-clients"']);
    expect(await ask({ token: 'x' })).toEqual([401, 'NOT_A_TOKEN', invalid]);
    expect(await ask({ token: token })).toEqual([401, 'NOT_A_TOKEN', invalid]);
    expect(await ask({ token: rotated.token })).toEqual([401, 'GENERATION_ENDED', invalid]);
    expect(await ask({ token: good, endpoint: 'tides' })).toEqual([403, 'NOT_ASSIGNED', insufficient]);
    const notAGateway = { token: good, headers: { 'x-gateway-secret': 'x' } };
    expect(await ask(notAGateway)).toEqual([403, 'NOT_A_GATEWAY', undefined]);
    expect(await ask({ token: good, endpoint: '/a' })).toEqual([403, 'NOT_AN_ENDPOINT', undefined]);
    await office.end('sub_weather');
    expect(await ask({ token: good })).toEqual([403, 'SUBSCRIPTION_NOT_LIVE', insufficient]);
    await office.revoke(consumer.clientId);
    expect(await ask({ token: good })).toEqual([401, 'CLIENT_NOT_ACTIVE', invalid]);
  } finally {
    await other.stop();
  }
});

describe('GATEWAY_URI_FROM', () => {
  test.each(['x-original-uri', 'x-forwarded-uri', 'path'])(
    '%s: the first segment of the consumer’s path',
    async (uriFrom) => {
      // GATEWAY_MAX_LAG_MS=0 makes each gateway check read the log.
      const other = await Standalone.startReady({ env: { GATEWAY_URI_FROM: uriFrom, GATEWAY_MAX_LAG_MS: '0' } });
      try {
        const office = Portal.of(other);
        const asking = new GatewayDouble(other);
        await office.register('sub_weather', { endpointUri: 'weather' });
        const { client: consumer, token: good } = await consumerOf(other, office, 'sub_weather');
        const ask = (path: string, headers = {}) =>
          asking.ask(
            uriFrom === 'path'
              ? { token: good, headers, path: `/gateway/check${path}` }
              : { token: good, headers: { ...headers, [uriFrom]: path } },
          );
        for (const path of ['/weather', '/weather/v1/forecast?city=Bern&next=/../a', `/weather/${'a'.repeat(2000)}`]) {
          expect(await ask(path)).toBe('200 GOOD');
        }
        expect(await ask('/weather/%zz')).toBe('200 GOOD');
        for (const path of [
          '/',
          '//weather',
          '/Weather',
          '/weather/../victim/a',
          '/weather/%2e%2e/victim',
          '/weather/%252e%252e/victim',
          '/weather/..%2fvictim',
          '/weather//a',
          '/weather/%00',
          '/weather/a\\b',
          '/weather/..%23/victim',
          '/weather/a%09',
          '/%zz',
        ]) {
          expect({ path, answer: await ask(path) }).toEqual({ path, answer: '403 NOT_AN_ENDPOINT' });
        }
        const refused = uriFrom === 'path' ? '403 MALFORMED_REQUEST' : '403 NOT_AN_ENDPOINT';
        for (const path of ['/weather/..#/victim', '/weather#', '/weather?a=#']) {
          expect({ path, answer: await ask(path) }).toEqual({ path, answer: refused });
        }
        expect(await ask('/tides', { 'x-endpoint-uri': 'weather' })).toBe('403 SUBSCRIPTION_NOT_LIVE');
        await office.revoke(consumer.clientId);
        expect(await ask('/weather')).toBe('403 CLIENT_NOT_ACTIVE');
      } finally {
        await other.stop();
      }
    },
  );
});

test('each answer is counted by its code, and its log line says for whom and why', async () => {
  const counted = async (code: string) => (await metricOf(server.url, `gateway_checks_total{code="${code}"}`)) ?? 0;
  const before = [await counted('GOOD'), await counted('OTHER_SUBSCRIPTION')];
  const limited = (await oauthLogin(server.url, client, 'weather')).body.access_token;
  await gateway.check({ token, headers: { 'x-request-id': 'good-call' } });
  await gateway.check({ token: limited, endpoint: 'tides', headers: { 'x-request-id': 'bad-call' } });
  const who = `"workspaceId":"acme","clientId":"${client.clientId}"`;
  await server.printed(
    new RegExp(`"good-call".*${who},"subscriptionId":"sub_weather","endpoint":"weather","authCode":"GOOD"`),
  );
  await server.printed(new RegExp(`"bad-call".*${who},"endpoint":"tides","authCode":"OTHER_SUBSCRIPTION"`));
  const after = [await counted('GOOD'), await counted('OTHER_SUBSCRIPTION')];
  expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual([1, 1]);
});

test('the log line of a login says who logs in, or claims to, and why a login is refused', async () => {
  const { clientId, secret } = client;
  const login = (requestId: string, endpoint: string, given: string) => {
    const headers = { authorization: basic(clientId, given), 'x-request-id': requestId };
    return postLogin(server.url, endpoint, form({ grant_type: 'client_credentials' }, headers));
  };
  await login('in', 'weather', secret);
  await login('not-assigned', 'tides', secret);
  await login('made-up', 'weather', `ccs_${'a'.repeat(52)}`);
  await login('secret-as-endpoint', secret, secret);
  await oauthLogin(server.url, { clientId: secret, secret });
  const who = `"clientId":"${clientId}","workspaceId":"acme"`;
  await server.printed(new RegExp(`"requestId":"in",.*"status":200,.*"endpoint":"weather",${who}`));
  await server.printed(
    new RegExp(`"not-assigned",.*"endpoint":"tides",${who},"error":"unauthorized_client","reason":"NOT_ASSIGNED"`),
  );
  await server.printed(
    new RegExp(`"made-up",.*"claimedClientId":"${clientId}","error":"invalid_client","reason":"MADE_UP_SECRET"`),
  );
  await server.printed(/"secret-as-endpoint",.*"endpoint":"\[redacted\]"/);
  await server.printed(/"status":401,"ms":\d+,"error":"invalid_client","reason":"MADE_UP_SECRET"/);
  expect(server.output()).not.toContain(secret);
});

test('the lag of the directory is measured', async () => {
  await gateway.check({ token });
  const lag = await eventually(
    async () => /^gateway_directory_lag_seconds (\S+)$/m.exec((await send('GET', server.url, '/metrics')).text)?.[1],
    (seconds) => seconds !== undefined && Number(seconds) < 1,
  );
  expect(Number(lag)).toBeGreaterThanOrEqual(0);
});
