import { join } from 'node:path';
import { type EventLog, endOfLog } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { postLogin } from '../support/login.js';
import { type NewClient, Portal } from '../support/portal.js';
import { Standalone } from '../support/standalone.js';

jest.setTimeout(60_000);

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

test('malformed JSON is a problem at the management API too, and appends nothing', async () => {
  const before = await end();
  const headers = { authorization: `Bearer ${portal.token}`, ...JSON_TYPE };
  const answer = await fetch(`${standalone.url}/v1/clients`, { method: 'POST', headers, body: '{"name":' });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/problem+json']);
  expect(await answer.json()).toMatchObject({ code: 'MALFORMED_JSON', status: 400 });
  expect(await end()).toBe(before);
});

const NAMES: readonly [what: string, name: unknown][] = [
  ['empty', ''],
  ['blank', ' \t '],
  ['101 characters', 'a'.repeat(101)],
  ['a NUL', 'a\u0000b'],
  ['a line break', 'a\nb'],
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
  ['a crooked workspace', { 'x-workspace-id': '../acme' }, 'X-Workspace-Id'],
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
  ['__proto__=1', '__proto__'],
] as const;
test.each(QUERIES)('a list with ?%s is refused, naming %s', async (query, field) => {
  const answer = await portal.send('GET', `/v1/clients?${query}`);
  expect([answer.status, answer.problem.errors?.[0]?.field]).toEqual([400, field]);
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

const LOGINS: readonly [what: string, body: string | Buffer, type: string, status: number][] = [
  ['malformed JSON', '{', 'application/json', 400],
  ['a list', '[]', 'application/json', 400],
  ['a number for the key', '{"api-key":1}', 'application/json', 400],
  ['duplicated keys', '{"api-key":"a","api-key":"a"}', 'application/json', 400],
  ['a prototype name', '{"__proto__":{"api-key":"a"}}', 'application/json', 400],
  ['deep nesting', deep(900), 'application/json', 400],
  ['a huge body', JSON.stringify({ 'api-key': 'a'.repeat(70_000) }), 'application/json', 413],
  ['broken UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'application/json', 400],
  ['XML', '<login/>', 'application/xml', 415],
  ['nothing', '', 'application/json', 400],
  ['a repeated parameter', 'grant_type=client_credentials&grant_type=a', 'application/x-www-form-urlencoded', 400],
];
test.each(LOGINS)('a login with %s is refused in OAuth’s own format', async (_, body, type, status) => {
  const before = await end();
  const answer = await postLogin(standalone.url, undefined, {
    headers: { 'content-type': type },
    body: Buffer.from(body),
  });
  expect(answer.status).toBe(status);
  expect(JSON.parse(answer.text)).toEqual({
    error: 'invalid_request',
    error_description: expect.any(String) as string,
  });
  expect(answer.header('cache-control')).toBe('no-store');
  expect(await end()).toBe(before);
});
