import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { gatewaySecretOf } from '../support/gateway.js';
import { eventually, send } from '../support/http.js';
import { apiKeyLogin, oauthLogin } from '../support/login.js';
import { hasNginx, Nginx } from '../support/nginx.js';
import { type NewClient, Portal } from '../support/portal.js';
import { Standalone } from '../support/standalone.js';

/** What reached the provider. */
interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

if (!hasNginx() && process.env.CI !== 'true') {
  console.warn('SKIPPED: the example for nginx is not tested, there is no nginx (apt-get install nginx-light)');
}
const withNginx = hasNginx() || process.env.CI === 'true' ? describe : describe.skip;

withNginx('behind a real nginx with the example’s configuration', () => {
  let server: Standalone;
  let provider: Server;
  let nginx: Nginx;
  let portal: Portal;
  let client: NewClient;
  let token: string;
  let arrived: Arrived[];
  const started: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    server = await Standalone.startReady();
    started.push(() => server.stop());
    provider = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url = '', rawHeaders } = request;
        arrived.push({ method, url, rawHeaders, body: Buffer.concat(chunks).toString() });
        response.end('sunny');
      });
    }).listen(0, '127.0.0.1');
    await once(provider, 'listening');
    started.push(() => {
      provider.closeAllConnections();
      return new Promise((resolve) => provider.close(resolve));
    });
    const { port } = provider.address() as AddressInfo;
    nginx = await Nginx.start({
      checkAt: new URL(server.url).host,
      providerAt: `127.0.0.1:${port}`,
      gatewaySecret: gatewaySecretOf(server),
    });
    started.push(() => nginx.stop());
    portal = Portal.of(server);
    await portal.register('sub_weather', { endpointUri: 'weather' });
    await portal.register('sub_mine', { endpointUri: 'mine' });
    client = await portal.newClient('OAUTH2');
    await portal.assign(client.clientId, 'sub_weather');
    token = (await oauthLogin(server.url, client)).body.access_token;
  }, 30_000);

  beforeEach(() => {
    arrived = [];
  });

  afterAll(async () => {
    for (const stop of started.reverse()) await stop();
  });

  const call = (path: string, headers: Record<string, string> = {}, method = 'GET', body?: Buffer) =>
    send(method, nginx.url, path, { headers, body });
  const withToken = (headers: Record<string, string> = {}) => ({ authorization: `Bearer ${token}`, ...headers });

  /** The status of the answer to these very lines. */
  const raw = (lines: readonly string[]): Promise<number> =>
    new Promise((resolve, reject) => {
      let answer = '';
      connect(nginx.port, '127.0.0.1')
        .on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
        .on('end', () => {
          resolve(Number(answer.split(' ')[1]));
        })
        .on('error', reject)
        .write(Buffer.from(`${[...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`, 'latin1'));
    });

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

  test('forged identities don’t reach it, in whichever spelling', async () => {
    const forged = {
      'X-Consumer-Client-Id': 'cc_forged',
      'x-consumer-workspace-id': 'forged',
      'X-CONSUMER-SUBSCRIPTION-ID': 'sub_forged',
      X_Consumer_Client_Id: 'cc_forged',
      'x_consumer-client_id': 'cc_forged',
      X_Gateway_Secret: 'forged',
    };
    expect((await call('/weather/a', withToken(forged))).status).toBe(200);
    expect(JSON.stringify(arrived)).not.toContain('forged');
    const twice = ['X-Consumer-Client-Id: cc_forged', 'X-Consumer-Client-Id: cc_forged_too'];
    expect(await raw(['GET /weather/a HTTP/1.1', 'Host: x', `Authorization: Bearer ${token}`, ...twice])).toBe(200);
    expect(arrived).toHaveLength(2);
    expect(JSON.stringify(arrived)).not.toContain('forged');
  });

  test('what is refused never reaches it', async () => {
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
      // The consumer's own word about where it calls, and who asks.
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
      }
    }
    expect(arrived).toEqual([]);
  });

  test('crooked paths don’t get through, to wherever they lead', async () => {
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
      const status = await raw([`GET ${path} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${token}`]);
      expect({ path, isRefused: [400, 403].includes(status) }).toEqual({ path, isRefused: true });
    }
    expect(arrived).toEqual([]);
    for (const path of [
      '/weather/',
      '/weather/a.b/...',
      '/weather/.well-known',
      '/weather/100%25',
      '/weather/a?b=/../c//',
    ]) {
      expect({ path, status: (await call(path, withToken())).status }).toEqual({ path, status: 200 });
    }
  });

  test('repeated headers don’t get through', async () => {
    for (const [name, first, second] of [
      ['Authorization', `Bearer ${token}`, 'Bearer x'],
      ['Authorization', 'Bearer x', `Bearer ${token}`],
      ['X-Apx-Authorization', token, 'x'],
      ['X-Apx-Authorization', 'x', token],
      ['X-Apx-Authorization', token, token],
    ]) {
      const status = await raw(['GET /weather/a HTTP/1.1', 'Host: x', `${name}: ${first}`, `${name}: ${second}`]);
      expect({ name, isRefused: [400, 403].includes(status) }).toEqual({ name, isRefused: true });
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

  test('a revoked client is refused, and no call that was refused got there', async () => {
    const consumer = await portal.newClient('OAUTH2');
    await portal.assign(consumer.clientId, 'sub_weather');
    const authorization = `Bearer ${(await oauthLogin(server.url, consumer)).body.access_token}`;
    expect((await call('/weather/a', { authorization })).status).toBe(200);
    await portal.revoke(consumer.clientId);
    await eventually(
      () => call('/weather/a', { authorization }),
      ({ status }) => status === 403,
      1,
    );
    const got = arrived.length;
    expect((await call('/weather/a', { authorization })).status).toBe(403);
    expect(arrived).toHaveLength(got);
  });

  test('without Consumer Clients nothing gets through', async () => {
    await server.kill();
    const answer = await call('/weather/a', withToken());
    expect(answer.status).toBe(503);
    expect(arrived).toEqual([]);
  });
});

const valuesOf = (rawHeaders: readonly string[], name: string): string[] =>
  rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
