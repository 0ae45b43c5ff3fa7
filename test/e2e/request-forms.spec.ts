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
  ])('is refused with %s', async (_what, suffix, lines) => {
    const [head = '', ...more] = await heads(example, path + suffix, lines);
    expect([statusOf(head), more]).toEqual([refused, []]);
    expect(head).toMatch(/^x-request-id: /im);
  });
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
  const send = (headers: Readonly<Record<string, string>>, encode = (text: string) => Buffer.from(text)) => {
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
