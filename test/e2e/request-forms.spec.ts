import { gzipSync } from 'node:zlib';
import { gatewaySecretOf } from '../support/api/gateway.js';
import { send as sendRequest } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { sendLines } from '../support/api/raw-http.js';
import { Standalone } from '../support/processes/standalone.js';

let standalone: Standalone;
let portal: Portal;
let client: NewClient;
let token: string;

beforeAll(async () => {
  standalone = await Standalone.startReady();
  portal = Portal.of(standalone);
  await portal.register('acme-weather', { endpointUri: 'weather' });
  client = await portal.newClient('OAUTH2');
  await portal.assign(client.clientId, 'acme-weather');
  token = (await oauthLogin(standalone.url, client)).body.access_token;
});
afterAll(() => standalone.stop());

const HOST = 'Host: a';

/** A request that succeeds. There is one for each kind of route. */
interface Example {
  readonly method: string;
  readonly path: string;
  readonly headers: () => readonly string[];
  readonly body?: () => string;
  /** The status of the answer. */
  readonly success: number;
  /** The status of the answer if the head is malformed. */
  readonly refused: number;
}

const FORM = 'Content-Type: application/x-www-form-urlencoded';
const JSON_BODY = 'Content-Type: application/json';
const bearer = (value: string) => `Authorization: Bearer ${value}`;
const credentials = () => ({ client_id: client.clientId, client_secret: client.secret });

const EXAMPLES: Readonly<Record<string, Example>> = {
  'a login with a form': {
    ...{ method: 'POST', path: '/login', success: 200, refused: 400 },
    headers: () => [FORM],
    body: () => new URLSearchParams({ grant_type: 'client_credentials', ...credentials() }).toString(),
  },
  'a login with JSON': {
    ...{ method: 'POST', path: '/weather/login', success: 200, refused: 400 },
    headers: () => [JSON_BODY],
    body: () => JSON.stringify({ grant_type: 'client_credentials', ...credentials() }),
  },
  'an introspection': {
    ...{ method: 'POST', path: '/oauth/introspect', success: 200, refused: 400 },
    headers: () => [JSON_BODY],
    body: () => JSON.stringify({ token, ...credentials() }),
  },
  'the key set': { method: 'GET', path: '/.well-known/jwks.json', headers: () => [], success: 200, refused: 400 },
  'the metadata': {
    ...{ method: 'GET', path: '/.well-known/oauth-authorization-server', success: 200, refused: 400 },
    headers: () => [],
  },
  'a query': {
    ...{ method: 'GET', path: '/v1/clients?limit=1', success: 200, refused: 400 },
    headers: () => [bearer(portal.token)],
  },
  'a command': {
    ...{ method: 'POST', path: '/v1/credential-drafts', success: 201, refused: 400 },
    headers: () => [bearer(portal.token), JSON_BODY],
    body: () => '{"authenticationType":"OAUTH2"}',
  },
  'the health': { method: 'GET', path: '/health/live', headers: () => [], success: 200, refused: 400 },
  'a gateway check': {
    ...{ method: 'GET', path: '/gateway/check', success: 200, refused: 403 },
    headers: () => [`X-Gateway-Secret: ${gatewaySecretOf(standalone)}`, 'X-Endpoint-Uri: weather', bearer(token)],
  },
};

/** Sends the example with another target and these lines in the head. Resolves to the answers, without their bodies. */
const heads = async (example: Example, target: string, lines: readonly string[], version = '1.1') => {
  const body = example.body?.() ?? '';
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const head = [`${example.method} ${target} HTTP/${version}`, ...lines, ...example.headers(), ...length];
  const received = await sendLines(standalone.url, [...head, 'Connection: close'], body);
  return received.split('\r\n\r\n').filter((part) => part.startsWith('HTTP/1.1 '));
};

const statusOf = (head = '') => Number(head.slice(9, 12));

/** Sends the example in this form. Resolves to the statuses of all answers. */
const statuses = async (...request: Parameters<typeof heads>) => (await heads(...request)).map(statusOf);

describe.each(Object.entries(EXAMPLES))('%s', (_name, example) => {
  const { path, success, refused } = example;

  test.each(['http://a', 'HTTP://a.example:8080', 'https://user@[2001:db8::1]:443'])(
    'may be asked for by the whole URL, at %s',
    async (origin) => {
      expect(await statuses(example, origin + path, [HOST])).toEqual([success]);
    },
  );

  test('is answered whatever else the caller expects', async () => {
    expect(await statuses(example, path, [HOST, 'Expect: tea'])).toEqual([success]);
  });

  test('is preceded by 100 only if the caller has a body to send', async () => {
    const expected = example.body ? [100, success] : [success];
    expect(await statuses(example, path, [HOST, 'Expect: 100-continue'])).toEqual(expected);
  });

  test('needs no Host in HTTP/1.0', async () => {
    expect(await statuses(example, path, [], '1.0')).toEqual([success]);
  });

  test.each<[string, string, readonly string[]]>([
    ['a # in the target', '#', [HOST]],
    ['no Host', '', []],
    ['a Host that is none', '', ['Host: a/b']],
    ['two Hosts', '', [HOST, HOST]],
    ['two Authorizations', '', [HOST, 'Authorization: Bearer a', 'AUTHORIZATION: Bearer b']],
  ])('is refused with %s', async (_what, suffix, lines) => {
    const [head = '', ...more] = await heads(example, path + suffix, lines);
    expect([statusOf(head), more]).toEqual([refused, []]);
    expect(head).toMatch(/^x-request-id: /im);
  });
});

test('the refusal of a repeated header names it', async () => {
  const head = ['GET /v1/clients HTTP/1.1', HOST, 'Connection: close', 'Authorization: Bearer a'];
  const received = await sendLines(standalone.url, [...head, bearer(portal.token)]);
  expect(received).toMatch(/^HTTP\/1\.1 400 [^]*"code":"HEADER_REPEATED"[^]*"errors":\[\{"field":"Authorization"/);
  const check = ['GET /gateway/check HTTP/1.1', HOST, HOST, 'Connection: close'];
  expect(await sendLines(standalone.url, check)).toMatch(/^HTTP\/1\.1 403 [^]*x-auth-code: HEADER_REPEATED/);
});

test.each([
  ['/v1/clients', 'GET, HEAD, POST'],
  ['/v1/clients?limit=%ff', 'GET, HEAD, POST'],
  ['/v1/clients/cc_0000000000000000000000', 'GET, HEAD, PATCH'],
  ['/v1/clients/%2e%2e/revoke', 'POST'],
  ['/v1/clients/a/subscriptions/b', 'DELETE, PUT'],
  ['/v1/credential-drafts', 'POST'],
  ['/v1/subscriptions', 'GET, HEAD'],
  ['/', 'GET, HEAD'],
  ['/openapi.json', 'GET, HEAD'],
  ['/docs', 'GET, HEAD'],
  ['/health/ready', 'GET, HEAD'],
  ['/metrics', 'GET, HEAD'],
  ['/.well-known/jwks.json', 'GET, HEAD'],
  ['/.well-known/oauth-authorization-server', 'GET, HEAD'],
  ['/login', 'POST'],
  ['/weather/login', 'POST'],
  ['/oauth/revoke', 'POST'],
])('%s takes %s only', async (path, allowed) => {
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    if (allowed.split(', ').includes(method)) continue;
    const { status, headers } = await sendRequest(method, standalone.url, path);
    expect([method, status, headers.allow]).toEqual([method, 405, allowed]);
  }
});

test('the root points to the docs', async () => {
  for (const method of ['GET', 'HEAD']) {
    const { status, headers } = await sendRequest(method, standalone.url, '/?from=a-browser');
    expect([method, status, headers.location]).toEqual([method, 302, '/docs']);
  }
  expect((await sendRequest('GET', standalone.url, '/docs')).status).toBe(200);
});

test('no method is right where there is no route', async () => {
  for (const path of ['/nowhere', '/v1/clients/', '/v1/clients/a/b/c', '/v1/Clients']) {
    const { status, headers } = await sendRequest('DELETE', standalone.url, path);
    expect([path, status, headers.allow]).toEqual([path, 404, undefined]);
  }
});

test('a tunnel is refused with an answer', async () => {
  expect(await sendLines(standalone.url, ['CONNECT a:443 HTTP/1.1', HOST])).toMatch(/^HTTP\/1\.1 400 /);
});

test.each(['ftp://a/login', 'http:///login', 'http:/login'])('%s is no target', async (target) => {
  const [head = ''] = await heads({ ...EXAMPLES.login, method: 'GET', headers: () => [] } as Example, target, [HOST]);
  expect(statusOf(head)).toBe(400);
  expect(head).toMatch(/^content-type: application\/problem\+json/im);
});

test('a repeated command is recognised by either form of its target', async () => {
  const path = `/v1/clients/${client.clientId}`;
  const rename = (target: string) =>
    portal.send('PATCH', target, { headers: { 'idempotency-key': 'one-name' }, body: { name: 'Trip planner' } });
  const answers = [await rename(path), await rename(`http://a${path}`)];
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
});

const { 'a login with a form': ofForm, 'a login with JSON': ofJson, 'a command': ofCommand } = EXAMPLES;

describe.each([
  ['a form', ofForm, 'application/x-www-form-urlencoded'],
  ['JSON', ofJson, 'application/json'],
  ['a command', ofCommand, 'application/json'],
])('the body of %s', (_what, example, type) => {
  const send = (headers: Readonly<Record<string, string | string[]>>, encode = (text: string) => Buffer.from(text)) => {
    const { method = '', path = '', body } = example ?? {};
    const authorization = example === ofCommand && { authorization: `Bearer ${portal.token}` };
    return sendRequest(method, standalone.url, path, {
      headers: { ...authorization, ...headers },
      body: encode(body?.() ?? ''),
    });
  };

  test.each([
    'charset=iso-8859-1',
    'charset="utf-16"',
    'charset=',
    'charset=utf-8; charset=utf-16',
    'boundary=a; Charset = latin1',
  ])('may have no other charset than UTF-8: %s', async (parameters) => {
    expect((await send({ 'content-type': `${type}; ${parameters}` })).status).toBe(415);
  });

  test('has one content type', async () => {
    expect((await send({ 'content-type': [type, type] })).status).toBe(400);
  });

  test.each(['gzip', 'GZIP', 'br', 'identity, gzip', 'x-unknown'])('may not be encoded: %s', async (encoding) => {
    expect((await send({ 'content-type': type, 'content-encoding': encoding }, gzipSync)).status).toBe(415);
  });

  test.each(['charset=utf-8', 'charset="UTF-8"', 'boundary=a;charset=utf8'])(
    'may say that it is UTF-8: %s',
    async (parameters) => {
      expect(
        (await send({ 'content-type': `${type};${parameters}`, 'content-encoding': 'identity' })).status,
      ).toBeLessThan(300);
    },
  );
});
