import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { EventLog } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { postLogin } from '../support/api/login.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { exchange } from '../support/api/raw-http.js';
import { endOfLog } from '../support/events/end-of-log.js';
import { Standalone } from '../support/processes/standalone.js';

let standalone: Standalone;
let portal: Portal;
let log: EventLog;
let client: NewClient;

beforeAll(async () => {
  standalone = await Standalone.start();
  portal = Portal.of(standalone);
  await portal.register('weather-1');
  client = await portal.newClient('API_KEY');
  log = await openSqliteEventLog({ file: join(standalone.dataDir, 'event-log.db') });
});
afterAll(async () => {
  await log.close();
  await standalone.stop();
});

const end = () => endOfLog(log);

const JSON_TYPE = { 'content-type': 'application/json' };
const deep = (levels: number) => `${'{"name":'.repeat(levels)}1${'}'.repeat(levels)}`;

const STACK_TRACE = /\bat [^"]*(?:\/|node:)[^"]*:\d+|node_modules|\.[jt]s\b/;

const INVALID = '400 VALIDATION_FAILED';
const MALFORMED = '400 MALFORMED_JSON';
const TOO_LARGE = '413 BODY_TOO_LARGE';
const UNSUPPORTED = '415 UNSUPPORTED_MEDIA_TYPE';

interface BodyRoute {
  readonly method: string;
  /** The path of the route. `:client` stands for the id of a client of the portal. */
  readonly path: string;
  /** A body that the route accepts. */
  readonly good: Readonly<Record<string, unknown>>;
  /** Whether the route accepts a request without any field. */
  readonly isOptional?: boolean;
  /** For each field: values that the route does not accept. */
  readonly wrong: Readonly<Record<string, readonly unknown[]>>;
}

const NO_TEXT = [null, true, 7, ['a'], { a: 'a' }];
const ROUTES: Readonly<Record<string, BodyRoute>> = {
  create: {
    ...{ method: 'POST', path: '/v1/clients', good: { name: 'Importer', authenticationType: 'OAUTH2' } },
    wrong: { name: NO_TEXT, authenticationType: [...NO_TEXT, 'oauth2', ''], draft: NO_TEXT },
  },
  rename: {
    ...{ method: 'PATCH', path: '/v1/clients/:client', good: { name: 'Another name' } },
    wrong: { name: NO_TEXT },
  },
  rotate: {
    ...{ method: 'POST', path: '/v1/clients/:client/rotate', good: { overlapSeconds: 60 } },
    isOptional: true,
    wrong: { overlapSeconds: [null, '60', true, [60], {}, 0.5, -1, 604_801, 2 ** 53, 1e300], draft: NO_TEXT },
  },
  revoke: {
    ...{ method: 'POST', path: '/v1/clients/:client/revoke', good: { reason: 'The importer was retired' } },
    wrong: { reason: NO_TEXT },
  },
  'mint a draft': {
    ...{ method: 'POST', path: '/v1/credential-drafts', good: { authenticationType: 'OAUTH2' } },
    wrong: { authenticationType: [...NO_TEXT, 'oauth2'], clientId: [...NO_TEXT, 'cc_', '__proto__'] },
  },
  'register a subscription': {
    ...{ method: 'PUT', path: '/v1/subscriptions/weather-2' },
    good: { endpointUri: 'weather-2', serviceName: 'Weather forecasts' },
    wrong: { endpointUri: NO_TEXT, serviceName: NO_TEXT },
  },
  assign: { method: 'PUT', path: '/v1/clients/:client/subscriptions/weather-1', good: {}, wrong: {} },
  'who could call': {
    ...{ method: 'POST', path: '/v1/questions/could-call', good: { endpointUri: 'weather-1' } },
    wrong: {
      endpointUri: [...NO_TEXT, 'NO'],
      ...{ at: [...NO_TEXT, 'today', ''], limit: [null, '5', 0, 0.5, 1e300], cursor: [...NO_TEXT, '7'] },
    },
  },
  'was the token good': {
    ...{ method: 'POST', path: '/v1/questions/token-status', good: { token: 'no token' } },
    wrong: { token: [...NO_TEXT, 'a'.repeat(16_385)], at: [...NO_TEXT, 'today', ''] },
  },
};

/** A bad body. The function `of` makes the bad body from the text of a body that the route accepts. */
interface BadBody {
  readonly of: (good: string) => string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly refusal: string;
  readonly field?: string | undefined;
}
const asIs = (good: string) => good;
const adding = (member: string) => (good: string) => good.replace('}', good === '{}' ? `${member}}` : `,${member}}`);
const utf16 = (good: string) => Buffer.from(`\ufeff${good}`, 'utf16le');
const ofType = (type: string) => ({ 'content-type': type });
const HUGE = adding(`"a":"${'a'.repeat(8_000_000)}"`);

const BAD_BODIES: Readonly<Record<string, BadBody>> = {
  'cut off': { of: (good) => good.slice(0, -1), refusal: MALFORMED },
  'no JSON': { of: () => 'name=Importer', refusal: MALFORMED },
  'JSON with a comment': { of: (good) => `${good} // please`, refusal: MALFORMED },
  'JSON twice': { of: (good) => good + good, refusal: MALFORMED },
  'JSON with a bare line break': { of: adding('"a":"\n"'), refusal: MALFORMED },
  'JSON with NaN': { of: adding('"a":NaN'), refusal: MALFORMED },
  null: { of: () => 'null', refusal: INVALID, field: 'body' },
  'a list': { of: (good) => `[${good}]`, refusal: INVALID, field: 'body' },
  'a string': { of: (good) => JSON.stringify(good), refusal: INVALID, field: 'body' },
  'a number': { of: () => '7', refusal: INVALID, field: 'body' },
  'just too large': { of: (good) => good.padEnd(65_537), refusal: TOO_LARGE },
  huge: { of: HUGE, refusal: TOO_LARGE },
  'huge, in chunks': { of: HUGE, headers: { ...JSON_TYPE, 'transfer-encoding': 'chunked' }, refusal: TOO_LARGE },
  'nested deeply': {
    of: adding(`"a":${'['.repeat(30_000)}${']'.repeat(30_000)}`),
    ...{ refusal: INVALID, field: `a${'[0]'.repeat(31)}` },
  },
  'broken UTF-8': { of: (good) => Buffer.from(adding('"a":"\xff"')(good), 'latin1'), refusal: MALFORMED },
  'half a character': { of: adding('"a":"\\ud800"'), refusal: INVALID, field: 'a' },
  'with a number that no double can hold': { of: adding('"a":1e999'), refusal: INVALID, field: 'a' },
  'with such a number deep inside': { of: adding('"a":[{"b":-1e999}]'), refusal: INVALID, field: 'a[0].b' },
  'UTF-16': { of: utf16, refusal: MALFORMED },
  'UTF-16, and says so': { of: utf16, headers: ofType('application/json; charset=utf-16'), refusal: UNSUPPORTED },
  'said to be Latin-1': { of: asIs, headers: ofType('application/json; charset=iso-8859-1'), refusal: UNSUPPORTED },
  gzip: { of: gzipSync, refusal: MALFORMED },
  'gzip, and says so': { of: gzipSync, headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, refusal: UNSUPPORTED },
  'of no type': { of: asIs, headers: {}, refusal: UNSUPPORTED },
  'of an invalid type': { of: asIs, headers: ofType('json'), refusal: UNSUPPORTED },
  'said to be text': { of: asIs, headers: ofType('text/plain'), refusal: UNSUPPORTED },
  'said to be XML': { of: asIs, headers: ofType('application/xml'), refusal: UNSUPPORTED },
  'said to be a form': { of: asIs, headers: ofType('application/x-www-form-urlencoded'), refusal: UNSUPPORTED },
  'with __proto__': { of: adding('"__proto__":{"name":"a"}'), refusal: INVALID, field: '__proto__' },
  'with constructor': { of: adding('"constructor":{"prototype":{}}'), refusal: INVALID, field: 'constructor' },
};

describe.each(Object.entries(ROUTES))('%s', (_name, { method, path, good, wrong, isOptional = false }) => {
  const expectRefused = async ({ of, headers = JSON_TYPE, refusal, field }: BadBody) => {
    const before = await end();
    const body = Buffer.from(of(JSON.stringify(good)));
    const answer = await portal.send(method, path.replace(':client', client.clientId), { headers, body });
    expect([answer.refusal, answer.problem.errors?.[0]?.field]).toEqual([refusal, field]);
    expect(answer.text).not.toMatch(STACK_TRACE);
    expect(await end()).toBe(before);
  };

  test.each(Object.entries(BAD_BODIES))('refuses a body that is %s', (_what, badBody) => expectRefused(badBody));

  const wrongValues = Object.entries(wrong).flatMap(([field, values]) =>
    values.map((value): [string, BadBody] => [
      JSON.stringify({ [field]: value }),
      { of: () => JSON.stringify({ ...good, [field]: value }), refusal: INVALID, field },
    ]),
  );
  const [first] = Object.keys(good);
  const ofFields: Record<string, BadBody> = {
    'repeating its fields': { of: (body) => body.replace('}', `,${body.slice(1)}`), refusal: INVALID, field: first },
    'with an unknown field': { of: adding('"colour":"red"'), refusal: INVALID, field: 'colour' },
    'with prototype': { of: adding('"prototype":{}'), refusal: INVALID, field: 'prototype' },
  };
  const ofRequired: Record<string, BadBody> = {
    empty: { of: () => '', refusal: INVALID, field: first },
    'without its fields': { of: () => '{}', refusal: INVALID, field: first },
  };
  if (first !== undefined) {
    test.each(wrongValues)('refuses a body with %s', (_what, badBody) => expectRefused(badBody));
    test.each(Object.entries(ofFields))('refuses a body %s', (_what, badBody) => expectRefused(badBody));
    if (!isOptional)
      test.each(Object.entries(ofRequired))('refuses a body %s', (_what, badBody) => expectRefused(badBody));
  }
});

const FRAMINGS: readonly [what: string, head: string][] = [
  ['a length that is too short', 'Content-Length: 9'],
  ['a length that is too long', 'Content-Length: 99'],
  ['two lengths', 'Content-Length: 16\r\nContent-Length: 9'],
  ['a negative length', 'Content-Length: -16'],
  ['a length and chunks', 'Content-Length: 16\r\nTransfer-Encoding: chunked'],
  ['malformed chunks', 'Transfer-Encoding: chunked'],
  ['an unknown framing', 'Transfer-Encoding: mystery'],
];
test.each(FRAMINGS)('a rename with %s is refused', async (_what, head) => {
  const before = await end();
  const text = await exchange(
    portal.url,
    `PATCH /v1/clients/${client.clientId} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${portal.token}\r\n` +
      `Content-Type: application/json\r\n${head}\r\n\r\n{"name":"Other"}`,
  );
  const statuses = text.match(/(?<=HTTP\/1\.1 )\d+/g);
  expect(statuses?.filter((status) => status !== '400')).toEqual([]);
  expect(text).toContain('application/problem+json');
  expect(text).not.toMatch(STACK_TRACE);
  expect(await end()).toBe(before);
});

const NAMES: readonly [what: string, name: unknown][] = [
  ['empty', ''],
  ['blank', ' \t '],
  ['101 characters', 'a'.repeat(101)],
  ['a NUL', 'a\u0000b'],
  ['a line break', 'a\nb'],
  ['invisible', '\u200b\u2060'],
  ['a direction override', 'a\u202eb'],
  ['a number', 1e300],
  ['a list', ['a']],
  ['null', null],
  ['an object', { name: 'a' }],
];
test.each(NAMES)('a name that is %s is refused at create and at rename, naming the field', async (_, name) => {
  const before = await end();
  const created = await portal.send('POST', '/v1/clients', { body: { name, authenticationType: 'OAUTH2' } });
  const renamed = await portal.send('PATCH', `/v1/clients/${client.clientId}`, { body: { name } });
  for (const answer of [created, renamed]) {
    expect([answer.status, answer.problem.errors?.[0]?.field]).toEqual([400, 'name']);
  }
  expect(await end()).toBe(before);
});

const HEADERS: readonly [what: string, headers: Record<string, string>, field: string][] = [
  ['an empty Idempotency-Key', { 'idempotency-key': '' }, 'Idempotency-Key'],
  ['a long Idempotency-Key', { 'idempotency-key': 'k'.repeat(129) }, 'Idempotency-Key'],
  ['an Idempotency-Key with a space', { 'idempotency-key': 'a b' }, 'Idempotency-Key'],
  ['an If-Match that is no ETag', { 'if-match': 'three' }, 'If-Match'],
  ['a weak If-Match', { 'if-match': 'W/"1"' }, 'If-Match'],
  ['a malformed workspace', { 'x-workspace-id': '../acme' }, 'X-Workspace-Id'],
];
test.each(HEADERS)('%s is refused, naming the header', async (_, headers, field) => {
  const before = await end();
  const answer = await portal.rename(client.clientId, 'Another name', headers);
  expect([answer.status, answer.problem.errors?.[0]?.field]).toEqual([400, field]);
  expect(await end()).toBe(before);
});

const QUERIES = [
  ['limit=0', 'limit'],
  ['limit=201', 'limit'],
  ['limit=1e3', 'limit'],
  ['limit=5&limit=6', 'limit'],
  ['status=gone', 'status'],
  ['sort=verifier', 'sort'],
  ['sort=revokedAt', 'sort'],
  ['name=a&sort=createdAt', 'sort'],
  ['order=up', 'order'],
  ['cursor=%00', 'cursor'],
  ['cursor=W10', 'cursor'],
  ['colour=red', 'colour'],
  ['name=%ff', 'name'],
  ['name=%ed%a0%80', 'name'],
  ['name=50%', 'name'],
  ['name=a&%ff=b', 'a parameter'],
  ['__proto__=1', '__proto__'],
] as const;
test.each(QUERIES)('a list with ?%s is refused, naming %s', async (query, field) => {
  const answer = await portal.send('GET', `/v1/clients?${query}`);
  expect([answer.status, answer.problem.errors?.[0]?.field]).toEqual([400, field]);
});

test('the end of a subscription whose reason is not UTF-8 is refused', async () => {
  const before = await end();
  const answer = await portal.send('DELETE', '/v1/subscriptions/weather-1?reason=%ff');
  expect([answer.refusal, answer.problem.errors?.[0]?.field]).toEqual([INVALID, 'reason']);
  expect(await end()).toBe(before);
});

const PATHS = [
  '/v1/clients/..%2f..%2fetc',
  '/v1/clients/%00',
  '/v1/clients/cc_',
  '/v1/clients/constructor',
  `/v1/clients/${'c'.repeat(300)}`,
  '/v1/clients/%E0%A4%A',
  '/v1/clients/cc_0000000000000000000000/history',
  '/v1/subscriptions/__proto__/clients',
  '/v1/nowhere',
];
test.each(PATHS)('GET %s is a 4xx problem', async (path) => {
  const answer = await portal.send('GET', path);
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(answer.problem.code).toMatch(/^[A-Z_]+$/);
});

const LOGINS: readonly [what: string, body: string | Buffer, type: string, status: number, named?: string][] = [
  ['malformed JSON', '{', 'application/json', 400],
  ['a list', '[]', 'application/json', 400],
  ['a number for the key', '{"api-key":1}', 'application/json', 400],
  ['duplicated keys', '{"api-key":"a","api-key":"a"}', 'application/json', 400, 'api-key'],
  ['a number that no double can hold', '{"api-key":"a","more":[1e999]}', 'application/json', 400, 'more[0]'],
  ['half a character', '{"api-key":"\\ud800"}', 'application/json', 400, 'api-key'],
  ['a prototype name', '{"__proto__":{"api-key":"a"}}', 'application/json', 400],
  ['deep nesting', deep(900), 'application/json', 400],
  ['a huge body', JSON.stringify({ 'api-key': 'a'.repeat(70_000) }), 'application/json', 413],
  ['broken UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'application/json', 400],
  ['XML', '<login/>', 'application/xml', 415],
  ['nothing', '', 'application/json', 400],
  ['a parameter that is no UTF-8', 'grant_type=%ff', 'application/x-www-form-urlencoded', 400, 'grant_type'],
  ['a form that is no UTF-8', Buffer.from([0x61, 0x3d, 0xff]), 'application/x-www-form-urlencoded', 400],
  ['a repeated parameter', 'grant_type=client_credentials&grant_type=a', 'application/x-www-form-urlencoded', 400],
];
test.each(LOGINS)('a login with %s is refused in OAuth’s own format', async (_, body, type, status, named = '') => {
  const before = await end();
  const answer = await postLogin(standalone.url, undefined, {
    headers: { 'content-type': type },
    body: Buffer.from(body),
  });
  expect(answer.status).toBe(status);
  expect(JSON.parse(answer.text)).toEqual({
    error: 'invalid_request',
    error_description: expect.stringContaining(named) as string,
  });
  expect(answer.header('cache-control')).toBe('no-store');
  expect(await end()).toBe(before);
});

test.each([
  ['PORT', () => ({ PORT: new URL(standalone.url).port })],
  ['METRICS_PORT', () => ({ METRICS_PORT: new URL(standalone.url).port })],
])('%s of another process ends the start with one line that names the variable', async (variable, env) => {
  const start = Standalone.start({ env: { ...env(), LOG_LEVEL: 'silent' } });
  const { port } = new URL(standalone.url);
  await expect(start).rejects.toThrow(
    new RegExp(`ended with 1:\nConfigurationError: ${variable} ${port} is in use: [^\n]+ at 127.0.0.1\n*$`),
  );
});
