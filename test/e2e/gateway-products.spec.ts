import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { gatewaySecretOf } from '../support/api/gateway.js';
import { eventually, send } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { idleMs } from '../support/load/load-meter.js';
import { freePort } from '../support/processes/free-ports.js';
import {
  APISIX,
  CADDY,
  ENVOY,
  type GatewayOptions,
  type GatewayProduct,
  isInstalled,
  ISTIO,
  KONG,
  KUBERNETES_CHECK,
  NGINX,
  RealGateway,
  TRAEFIK,
} from '../support/processes/gateway-products.js';
import { isPhpInstalled, PhpProvider } from '../support/processes/php-provider.js';
import { Standalone } from '../support/processes/standalone.js';

/** A request that reached the API provider behind the gateway. */
interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** The characters that RFC 9110 §5.6.2 allows in a header's name besides letters, digits and `-`. */
const OTHER_NAME_CHARACTERS = Array.from("!#$%&'*+.^_`|~");

/** Paths that every server interprets in the same way. */
const UNAMBIGUOUS = /^\/(?:a\/?)?$/;
/**
 * HTTP statuses of refused calls. 404 counts as a refusal, because a gateway that normalizes a path may have no route
 * for the normalized path.
 */
const REFUSALS = [400, 401, 403, 404];

/** Like the products, PHP must be there in CI. */
const testWithPhp = isPhpInstalled() || process.env.CI === 'true' ? test : test.skip;

/**
 * If a product is not installed, its tests are skipped with a warning. But in CI, the tests of each product with
 * `isInCi` always run, and so fail if the product is missing.
 */
for (const product of [NGINX, CADDY, ENVOY, ISTIO, KONG, APISIX, TRAEFIK]) {
  const name = `behind a real ${product.name} with the example’s configuration`;
  if (isInstalled(product) || (product.isInCi && process.env.CI === 'true')) {
    describe(name, () => {
      suite(product);
    });
  } else {
    console.warn(`SKIPPED: the example for ${product.name} is not tested: no ${product.command} is installed`);
    if (product.isInCi)
      describe.skip(name, () => {
        suite(product);
      });
  }
}

function suite(product: GatewayProduct): void {
  let server: Standalone;
  let provider: Server;
  let addresses: GatewayOptions;
  let gateway: RealGateway;
  let portal: Portal;
  let client: NewClient;
  let token: string;
  let arrived: Arrived[];
  /** The status of a call about which the check is asked but never answers. */
  let unanswered: Promise<number>;
  const started: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    server = await Standalone.startReady();
    started.push(() => server.stop());
    provider = createServer({ maxHeaderSize: 1_000_000 }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url = '', rawHeaders } = request;
        arrived.push({ method, url, rawHeaders, body: Buffer.concat(chunks).toString() });
        response.setHeader('access-control-allow-origin', '*').end('sunny');
      });
    }).listen(0, '127.0.0.1');
    await once(provider, 'listening');
    started.push(() => {
      provider.closeAllConnections();
      return new Promise((resolve) => provider.close(resolve));
    });
    const { port } = provider.address() as AddressInfo;
    addresses = {
      checkAt: new URL(server.url).host,
      providerAt: `127.0.0.1:${port}`,
      gatewaySecret: gatewaySecretOf(server),
    };
    gateway = await RealGateway.start(product, addresses);
    started.push(() => gateway.stop());
    portal = Portal.of(server);
    await portal.register('sub_weather', { endpointUri: 'weather' });
    await portal.register('sub_mine', { endpointUri: 'mine' });
    client = await portal.newClient('OAUTH2');
    await portal.assign(client.clientId, 'sub_weather');
    token = (await oauthLogin(server.url, client)).body.access_token;
    const silent = createTcpServer((socket) => socket.resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    started.push(() => new Promise((resolve) => silent.close(resolve)));
    const checkAt = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const front = await RealGateway.start(product, { ...addresses, checkAt });
    started.push(() => front.stop());
    unanswered = call('/weather/a', withToken(), 'GET', undefined, front.url).then(
      ({ status }) => status,
      () => 0,
    );
  });

  beforeEach(() => {
    arrived = [];
  });

  afterAll(async () => {
    for (const stop of started.reverse()) await stop();
  });

  const call = (
    path: string,
    headers: Record<string, string> = {},
    method = 'GET',
    body?: Buffer,
    url: string = gateway.url,
  ) => send(method, url, path, { headers, body });
  const withToken = (headers: Record<string, string> = {}) => ({ authorization: `Bearer ${token}`, ...headers });

  /** Sends exactly these lines, and returns what is answered, up to the first match of `end`. */
  const exchange = (port: number, lines: readonly string[], end: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      let answer = '';
      const socket = connect(port, '127.0.0.1')
        .on('data', (chunk: Buffer) => {
          answer += chunk.toString('latin1');
          if (!end.test(answer)) return;
          resolve(answer);
          socket.destroy();
        })
        .on('end', () => {
          reject(new Error(`Not answered: ${lines.join(', ')}\n${answer}`));
        })
        .on('error', reject);
      socket.write(Buffer.from(`${[...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`, 'latin1'));
    });
  const statusOf = (answer: string): number => Number(answer.split(' ')[1]);
  const raw = async (lines: readonly string[]): Promise<number> =>
    statusOf(await exchange(gateway.port, lines, /\r\n/));

  test('a good call reaches the provider, with the consumer’s identity and without its token', async () => {
    const sent = {
      'x-apx-authorization': token,
      'x-gateway-secret': 'x',
      'x-endpoint-uri': 'mine',
      accept: 'text/plain',
    };
    for (const headers of [withToken(), sent, { ...sent, authorization: `Bearer ${token}` }]) {
      arrived = [];
      const answer = await call('/weather/v1/forecast?city=Bern', headers, 'POST', Buffer.from('{"days":3}'));
      expect([answer.status, answer.text]).toEqual([200, 'sunny']);
      const [{ method, url, rawHeaders, body }] = arrived as [Arrived];
      expect([method, url, body]).toEqual(['POST', '/v1/forecast?city=Bern', '{"days":3}']);
      expect(valuesOf(rawHeaders, 'x-consumer-client-id')).toEqual([client.clientId]);
      expect(valuesOf(rawHeaders, 'x-consumer-workspace-id')).toEqual(['acme']);
      expect(valuesOf(rawHeaders, 'x-consumer-subscription-id')).toEqual(['sub_weather']);
      for (const name of ['authorization', 'x-apx-authorization', 'x-gateway-secret', 'x-endpoint-uri']) {
        expect(valuesOf(rawHeaders, name)).toEqual([]);
      }
      expect(JSON.stringify(arrived)).not.toContain(token);
      expect(JSON.stringify(arrived)).not.toContain(gatewaySecretOf(server));
    }
  });

  test('forged identity headers don’t reach the provider, in any spelling', async () => {
    const forged = {
      'X-Consumer-Groups': 'forged',
      'X-Consumer-Client-Id': 'cc_forged',
      'x-consumer-workspace-id': 'forged',
      'X-CONSUMER-SUBSCRIPTION-ID': 'sub_forged',
      X_Consumer_Client_Id: 'cc_forged',
      'x_consumer-client_id': 'cc_forged',
      X_Gateway_Secret: 'forged',
      ...Object.fromEntries(OTHER_NAME_CHARACTERS.map((other) => [`X${other}Consumer${other}Client-Id`, 'forged'])),
    };
    expect((await call('/weather/a', withToken(forged))).status).toBe(200);
    expect(JSON.stringify(arrived)).not.toContain('forged');
    const twice = ['X-Consumer-Client-Id: cc_forged', 'X-Consumer-Client-Id: cc_forged_too'];
    expect(await raw(['GET /weather/a HTTP/1.1', 'Host: x', `Authorization: Bearer ${token}`, ...twice])).toBe(200);
    expect(arrived).toHaveLength(2);
    expect(JSON.stringify(arrived)).not.toContain('forged');
  });

  testWithPhp(
    'PHP reads no identity but the check’s, whatever stands for the hyphens in the consumer’s own',
    async () => {
      const provider = await PhpProvider.start();
      started.push(() => provider.stop());
      const front = await RealGateway.start(product, { ...addresses, providerAt: provider.address });
      started.push(() => front.stop());
      const request = ['GET /weather/a HTTP/1.1', 'Host: x', `Authorization: Bearer ${token}`];
      for (const other of [...OTHER_NAME_CHARACTERS, '-', ' ', '[', '(', '"', '/', '\t', '\0', '\xe9']) {
        const names = [
          ['x', 'consumer', 'client', 'id'].join(other),
          ['X', 'Consumer', 'Workspace-Id'].join(other),
          `X-Consumer${other}Subscription-Id`,
          `X-CONSUMER-CLIENT${other}ID`,
          `X-Consumer${other}Groups`,
        ];
        const forged = names.flatMap((name) => [`${name}: forged`, `${name}: forged too`]);
        for (const lines of [
          [...request, ...forged],
          [...request.slice(0, 2), ...forged, ...request.slice(2)],
        ]) {
          const answer = await exchange(front.port, lines, /^HTTP\/1\.1 (?!200)|\}/);
          // HTTP allows to refuse any call with another character than these in a header's name.
          if (/[-!#$%&'*+.^_`|~]/.test(other))
            expect({ other, status: statusOf(answer) }).toEqual({ other, status: 200 });
          if (statusOf(answer) === 200) {
            const read = JSON.parse(/\{.*\}/s.exec(answer)?.[0] ?? '') as Record<string, string>;
            const ours = Object.entries(read).filter(([name]) => name.startsWith('HTTP_X_CONSUMER'));
            expect({ other, read: Object.fromEntries(ours.filter(([, value]) => value !== '')) }).toEqual({
              other,
              read: {
                HTTP_X_CONSUMER_CLIENT_ID: client.clientId,
                HTTP_X_CONSUMER_WORKSPACE_ID: 'acme',
                HTTP_X_CONSUMER_SUBSCRIPTION_ID: 'sub_weather',
              },
            });
            expect(JSON.stringify(read)).not.toContain('forged');
          } else expect({ other, isRefused: REFUSALS.includes(statusOf(answer)) }).toEqual({ other, isRefused: true });
        }
      }
    },
  );

  test('the consumer can’t make the gateway drop the identity headers or its description of the call', async () => {
    for (const name of [
      'X-Consumer-Client-Id',
      'x-consumer-subscription-id',
      'X-Endpoint-Uri',
      'X-Gateway-Secret',
      'Authorization',
    ]) {
      arrived = [];
      const lines = ['GET /weather/a HTTP/1.1', 'Host: x', `Authorization: Bearer ${token}`, `Connection: ${name}`];
      if (REFUSALS.includes(await raw(lines))) expect(arrived).toEqual([]);
      else {
        expect(arrived.map(({ rawHeaders }) => valuesOf(rawHeaders, 'x-consumer-client-id'))).toEqual([
          [client.clientId],
        ]);
        expect(arrived.map(({ rawHeaders }) => valuesOf(rawHeaders, 'x-consumer-subscription-id'))).toEqual([
          ['sub_weather'],
        ]);
        expect(JSON.stringify(arrived)).not.toContain(token);
      }
    }
  });

  test('a call with as many headers as the gateway accepts is not refused', async () => {
    const long = Object.fromEntries(['a', 'b', 'c'].map((name) => [`x-long-${name}`, name.repeat(7_000)]));
    expect((await call('/weather/a', withToken(long))).status).toBe(200);
    const many = Array.from({ length: 1_100 }, (_, i) => `x${i}: y`);
    const status = await raw(['GET /weather/a HTTP/1.1', 'Host: x', ...many, `Authorization: Bearer ${token}`]);
    expect([200, ...REFUSALS, 431]).toContain(status);
    expect(arrived).toHaveLength(status === 200 ? 2 : 1);
  });

  test('a refused call never reaches the provider', async () => {
    const other = await portal.newClient('API_KEY');
    await portal.assign(other.clientId, 'sub_mine');
    const forMine = (await apiKeyLogin(server.url, other.secret)).body.access_token;
    const calls: [number, string, Record<string, string>][] = [
      [401, '/weather/a', {}],
      [401, `/weather/a?access_token=${token}`, {}],
      [401, '/weather/a', withToken({ 'x-apx-authorization': '' })],
      [403, '/weather/a', { authorization: 'Bearer x' }],
      [403, '/weather/a', { authorization: `Bearer ${portal.token}` }],
      [403, '/weather/a', withToken({ 'x-apx-authorization': 'x' })],
      [403, '/weather/a', { authorization: `Bearer ${forMine}` }],
      // The consumer's headers pretend that the consumer is a gateway, or that the call goes to another endpoint.
      [
        403,
        '/weather/a',
        { authorization: `Bearer ${forMine}`, 'x-endpoint-uri': 'mine', 'x-original-uri': '/mine/a' },
      ],
      [404, '/mine/a', { authorization: `Bearer ${forMine}` }],
      [404, '/_gateway_check', withToken()],
      [404, '/_gateway_unavailable', withToken()],
    ];
    for (const [status, path, headers] of calls) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const answer = await call(path, headers, method, method === 'POST' ? Buffer.from('body') : undefined);
        expect({ path, headers, status: answer.status }).toEqual({ path, headers, status });
        if (status === 401) expect(answer.header('www-authenticate')).toMatch(/^Bearer /);
        expect(answer.headers).not.toHaveProperty('x-auth-code');
      }
    }
    expect(arrived).toEqual([]);
  });

  test('ambiguous paths don’t get through, wherever they lead', async () => {
    for (const path of [
      '/mine/../weather/a',
      '/weather/../mine/a',
      '/weather/../weather/a',
      '/weather/..',
      '/weather/.',
      '/weather/./a',
      '/weather/%2e%2e/mine/a',
      '/weather/.%2E/mine/a',
      '/weather/%252e%252e/mine/a',
      '/weather/%25252e%25252e/mine/a',
      '/weather/%25%32%65%25%32%65/mine/a',
      '/weather/..%2fmine/a',
      '/weather/..%252Fmine/a',
      '/weather/%2fmine/a',
      '/weather%2f..%2fmine/a',
      '/weather/..;/mine/a',
      '/weather/..;v=1/mine/a',
      '/weather/%2e%2e;/mine/a',
      '/weather/..%3b/mine/a',
      '/weather/..%3Bv=1/mine/a',
      '/weather/..%253b/mine/a',
      '/weather/..%3f/mine/a',
      '/weather/.%3Fa=b/mine/a',
      '/weather/..%253F/mine/a',
      '/weather/..%23/mine/a',
      '/weather/%2e%2e%23/mine/a',
      '/weather/..%2523/mine/a',
      '/weather/..%252523/mine/a',
      '/weather/..#/mine/a',
      '/weather/a#b',
      '/weather/a?b#/../c',
      '/weather/..\\mine\\a',
      '/weather/%5c..%5cmine',
      '/weather/a%255cb',
      '/weather//a',
      '//weather/a',
      '/weather/a//',
      '/weather/http://mine.example/',
      '/weather/a%00b',
      '/weather/a%2500b',
      '/./weather/a',
      'http://mine.example//weather/../weather/a',
      'http://mine.example/weather/%2e%2e/a',
      '*',
      'weather/a',
    ]) {
      arrived = [];
      const status = await raw([`GET ${path} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${token}`]);
      const isNormalized = product.normalizes && status === 200;
      expect({ path, isRefused: REFUSALS.includes(status) }).toEqual({ path, isRefused: !isNormalized });
      expect({ path, got: arrived.map(({ url }) => url) }).toEqual({
        path,
        got: isNormalized ? [expect.stringMatching(UNAMBIGUOUS)] : [],
      });
    }
    for (const path of [
      '/weather/',
      '/weather/a.b/...',
      '/weather/.well-known',
      ...(product.takesEncoded ? ['/weather/100%25', '/weather/why%3F', '/weather/c%23', '/weather/etc..%3f'] : []),
      '/weather/a?b=/../c//',
    ]) {
      expect({ path, status: (await call(path, withToken())).status }).toEqual({ path, status: 200 });
    }
  });

  if (product === NGINX) {
    test('a web page of a listed origin can call, and its preflight reaches neither the check nor the provider', async () => {
      const origin = 'https://app.example';
      const preflight = {
        origin,
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'authorization',
      };
      const asked = await call('/weather/a', preflight, 'OPTIONS');
      expect(asked.status).toBe(204);
      expect(asked.headers).toMatchObject({
        'access-control-allow-origin': origin,
        'access-control-allow-methods': expect.stringContaining('PUT') as string,
        'access-control-allow-headers': expect.stringMatching(/\bAuthorization\b.*\bContent-Type\b/) as string,
        'access-control-max-age': '600',
        vary: 'Origin',
      });
      expect(arrived).toEqual([]);
      const answered = await call('/weather/a', withToken({ origin }), 'PUT', Buffer.from('{}'));
      const refused = await call('/weather/a', { origin });
      expect([answered.status, refused.status]).toEqual([200, 401]);
      for (const { headers } of [answered, refused]) {
        expect(headers).toMatchObject({
          'access-control-allow-origin': origin,
          'access-control-expose-headers': 'WWW-Authenticate, Retry-After',
          vary: 'Origin',
        });
        expect(headers).not.toHaveProperty('access-control-allow-methods');
      }
      expect(arrived).toHaveLength(1);
    });

    test('a page of another origin gets no CORS headers, and OPTIONS that is no preflight needs a token', async () => {
      for (const origin of [
        'https://app.example.evil.example',
        'null',
        'http://app.example',
        'https://app.example ok',
      ]) {
        const asked = await call('/weather/a', { origin, 'access-control-request-method': 'PUT' }, 'OPTIONS');
        expect({ origin, status: asked.status }).toEqual({ origin, status: 401 });
        const answered = await call('/weather/a', withToken({ origin }));
        for (const { headers } of [asked, answered]) {
          expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
        }
      }
      expect((await call('/weather/a', { origin: 'https://app.example' }, 'OPTIONS')).status).toBe(401);
      expect((await call('/weather/../a', { origin: 'https://app.example' }, 'OPTIONS')).status).toBe(403);
      arrived = [];
      expect((await call('/weather/a', withToken({ origin: 'https://app.example' }), 'OPTIONS')).status).toBe(200);
      expect(arrived.map(({ method }) => method)).toEqual(['OPTIONS']);
    });

    test('for a gateway of Kubernetes it asks the check about the endpoint of its port, and refuses ambiguous paths', async () => {
      const front = await RealGateway.start(KUBERNETES_CHECK, addresses);
      started.push(() => front.stop());
      const other = await portal.newClient('API_KEY');
      await portal.assign(other.clientId, 'sub_mine');
      const forMine = (await apiKeyLogin(server.url, other.secret)).body.access_token;
      const ask = (path: string, headers: Record<string, string>, method = 'GET') =>
        send(method, front.url, path, { headers, body: method === 'POST' ? Buffer.from('{}') : undefined });
      for (const method of ['GET', 'POST', 'DELETE']) {
        const good = await ask(
          '/weather/a?b=c',
          withToken({ 'x-endpoint-uri': 'mine', 'x-gateway-secret': 'x' }),
          method,
        );
        expect([good.status, good.header('x-consumer-client-id')]).toEqual([200, client.clientId]);
        expect(good.headers).not.toHaveProperty('x-auth-code');
        const refused = await ask('/mine/a', { authorization: `Bearer ${forMine}`, 'x-endpoint-uri': 'mine' }, method);
        expect(refused.status).toBe(403);
        expect(refused.headers).not.toHaveProperty('x-auth-code');
      }
      const without = await ask('/weather/a', {});
      expect([without.status, without.header('www-authenticate')]).toEqual([401, expect.stringMatching(/^Bearer /)]);
      for (const path of [
        '/weather/..%2fmine',
        '/weather/..;/mine',
        '/weather/..%3f',
        '/weather/http:/mine',
        '/a//b',
      ]) {
        expect({ path, status: (await ask(path, withToken())).status }).toEqual({ path, status: 403 });
      }
      const alone = await RealGateway.start(KUBERNETES_CHECK, {
        ...addresses,
        checkAt: `127.0.0.1:${await freePort()}`,
      });
      started.push(() => alone.stop());
      expect((await send('GET', alone.url, '/weather/a', { headers: withToken() })).status).toBe(503);
    });

    test('its log names the client, or the reason of the refusal, and holds no token', async () => {
      await call('/weather/good?access_token=secret', withToken());
      await call('/weather/none', {});
      await call('/weather/bad', { authorization: 'Bearer x' });
      const logged = await eventually(
        () => Promise.resolve(gateway.logLines('calls.log').slice(-3) as Record<string, string>[]),
        (lines) => lines.at(-1)?.path === '/weather/bad',
      );
      expect(logged).toEqual([
        expect.objectContaining({
          method: 'GET',
          path: '/weather/good',
          status: '200',
          authCode: 'GOOD',
          clientId: client.clientId,
          subscriptionId: 'sub_weather',
        }),
        expect.objectContaining({ path: '/weather/none', status: '401', authCode: 'NO_TOKEN', clientId: '' }),
        expect.objectContaining({ path: '/weather/bad', status: '403', authCode: 'NOT_A_TOKEN' }),
      ]);
      expect(JSON.stringify(gateway.logLines('calls.log'))).not.toContain(token);
      expect(JSON.stringify(gateway.logLines('calls.log'))).not.toContain('secret');
    });
  }

  test('repeated headers don’t get through', async () => {
    for (const [name, first, second] of [
      ['Authorization', `Bearer ${token}`, 'Bearer x'],
      ['Authorization', 'Bearer x', `Bearer ${token}`],
      ['X-Apx-Authorization', token, 'x'],
      ['X-Apx-Authorization', 'x', token],
      ['X-Apx-Authorization', token, token],
    ]) {
      const status = await raw(['GET /weather/a HTTP/1.1', 'Host: x', `${name}: ${first}`, `${name}: ${second}`]);
      expect({ name, isRefused: REFUSALS.includes(status) }).toEqual({ name, isRefused: true });
    }
    expect(arrived).toEqual([]);
    const overwritten = [
      'X-Endpoint-Uri: mine',
      'X-Endpoint-Uri: weather',
      'X-Gateway-Secret: a',
      'X-Gateway-Secret: b',
    ];
    expect(await raw(['GET /weather/a HTTP/1.1', 'Host: x', `Authorization: Bearer ${token}`, ...overwritten])).toBe(
      200,
    );
  });

  test('a revoked client is refused, and no refused call reaches the provider', async () => {
    const consumer = await portal.newClient('OAUTH2');
    await portal.assign(consumer.clientId, 'sub_weather');
    const authorization = `Bearer ${(await oauthLogin(server.url, consumer)).body.access_token}`;
    expect((await call('/weather/a', { authorization })).status).toBe(200);
    await portal.revoke(consumer.clientId);
    const refused = () =>
      eventually(
        () => call('/weather/a', { authorization }),
        ({ status }) => status === 403,
      );
    expect(await idleMs(refused)).toBeLessThan(1000);
    const got = arrived.length;
    expect((await call('/weather/a', { authorization })).status).toBe(403);
    expect(arrived).toHaveLength(got);
  });

  // Traefik waits for 30 s.
  if (product !== TRAEFIK) {
    test('a check that does not answer in time counts as a refusal', async () => {
      expect([500, 502, 503, 504]).toContain(await unanswered);
      expect(arrived).toEqual([]);
    });
  }

  test('without Consumer Clients nothing gets through', async () => {
    await server.kill();
    const answer = await call('/weather/a', withToken());
    expect([500, 502, 503]).toContain(answer.status);
    expect(arrived).toEqual([]);
  });
}

const valuesOf = (rawHeaders: readonly string[], name: string): string[] =>
  rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
