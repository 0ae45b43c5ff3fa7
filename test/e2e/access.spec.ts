import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Answer, send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { metricOf } from '../support/api/metrics.js';
import { type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { withEventLog } from '../support/events/audit.js';
import { Standalone } from '../support/processes/standalone.js';

const CLI = join(__dirname, '../../dist/apps/cli/src/main.js');

let server: Standalone;
let portal: Portal;
let client: NewClient;

beforeAll(async () => {
  server = await Standalone.startReady();
  portal = Portal.of(server);
  await portal.register('sub_weather', { endpointUri: 'weather' });
  client = await portal.newClient();
  await portal.assign(client.clientId, 'sub_weather');
});

afterAll(() => server.stop());

/** Runs `consumer-clients …` on this server's data directory. Returns the command's output and exit code. */
const cli = (...parameters: string[]) => {
  const env = { PATH: process.env.PATH, DATA_DIR: server.dataDir };
  const { stdout, stderr, status } = spawnSync(process.execPath, [CLI, ...parameters], { env, encoding: 'utf8' });
  return { stdout: stdout.trim(), stderr, status };
};

interface Route {
  readonly method: string;
  readonly path: string;
  readonly scope: string;
  /** A scope that opens the route as well. */
  readonly orScope?: string;
  readonly body?: object;
}

const routesOf = (clientId: string, subscriptionId: string): Route[] => [
  { method: 'PATCH', path: `/v1/clients/${clientId}`, scope: 'clients:write', body: { name: 'Mine now' } },
  { method: 'POST', path: `/v1/clients/${clientId}/rotate`, scope: 'clients:write', body: {} },
  { method: 'POST', path: `/v1/clients/${clientId}/rotate?dryRun=true`, scope: 'clients:write', body: {} },
  { method: 'DELETE', path: `/v1/clients/${clientId}/credentials/1`, scope: 'clients:write' },
  { method: 'PUT', path: `/v1/clients/${clientId}/subscriptions/sub_own`, scope: 'clients:write' },
  { method: 'DELETE', path: `/v1/clients/${clientId}/subscriptions/${subscriptionId}`, scope: 'clients:write' },
  { method: 'POST', path: `/v1/clients/${clientId}/revoke`, scope: 'clients:write', body: { reason: 'Mine now' } },
  { method: 'POST', path: `/v1/clients/${clientId}/revoke?dryRun=true`, scope: 'clients:write' },
  {
    method: 'POST',
    path: '/v1/credential-drafts',
    scope: 'clients:write',
    body: { authenticationType: 'OAUTH2', clientId },
  },
  { method: 'GET', path: `/v1/clients/${clientId}`, scope: 'clients:read', orScope: 'audit:read' },
  { method: 'GET', path: `/v1/clients/${clientId}/history`, scope: 'audit:read' },
  { method: 'GET', path: `/v1/clients/${clientId}/state`, scope: 'audit:read' },
  { method: 'GET', path: `/v1/subscriptions/${subscriptionId}`, scope: 'clients:read', orScope: 'audit:read' },
  {
    method: 'GET',
    path: `/v1/subscriptions/${subscriptionId}/clients`,
    scope: 'clients:read',
    orScope: 'audit:read',
  },
  { method: 'GET', path: `/v1/subscriptions/${subscriptionId}/history`, scope: 'audit:read' },
  { method: 'DELETE', path: `/v1/subscriptions/${subscriptionId}?dryRun=true`, scope: 'subscriptions:write' },
  { method: 'DELETE', path: `/v1/subscriptions/${subscriptionId}`, scope: 'subscriptions:write' },
];
const LISTS_AND_CREATION: Route[] = [
  { method: 'POST', path: '/v1/clients', scope: 'clients:write', body: { name: 'Importer', authenticationType: 'OAUTH2' } },
  { method: 'GET', path: '/v1/clients', scope: 'clients:read', orScope: 'audit:read' },
  { method: 'GET', path: '/v1/history', scope: 'audit:read' },
  { method: 'GET', path: '/v1/events', scope: 'audit:read' },
  { method: 'GET', path: `/v1/diff?from=${'0'.repeat(20)}`, scope: 'audit:read' },
  { method: 'POST', path: '/v1/questions/token-status', scope: 'audit:read', body: { token: 'x' } },
  { method: 'GET', path: '/v1/access-review', scope: 'audit:read' },
  { method: 'POST', path: '/v1/questions/could-call', scope: 'audit:read', body: { endpointUri: 'sub-weather' } },
  { method: 'GET', path: '/v1/subscriptions', scope: 'clients:read', orScope: 'audit:read' },
  { method: 'PUT', path: '/v1/subscriptions/sub_new', scope: 'subscriptions:write', body: { endpointUri: 'new-one', serviceName: 'New' } },
]; // prettier-ignore
const allRoutes = () => [...routesOf(client.clientId, 'sub_weather'), ...LISTS_AND_CREATION];

test('without a good token every route answers 401 and says how to authenticate', async () => {
  const [header = '', payload = '', signature = ''] = portal.token.split('.');
  const unsigned = `${Buffer.from('{"alg":"none","typ":"management+jwt"}').toString('base64url')}.${payload}.`;
  const ofOtherBytes = `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
  const tokens = [
    'Bearer x',
    'Bearer x.y.z',
    `Bearer ${unsigned}`,
    `Bearer ${ofOtherBytes}`,
    `Bearer cca_${'a'.repeat(43)}`,
  ];
  for (const { method, path, body } of allRoutes()) {
    for (const authorization of [undefined, '', 'Basic YTpi', portal.token, ...tokens]) {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await send(method, server.url, path, { headers, body });
      expect(answer.refusal).toBe('401 UNAUTHENTICATED');
      expect(answer.header('www-authenticate')).toMatch(/^Bearer/);
    }
  }
  expect((await portal.get(client.clientId, await portal.readNow())).body).toMatchObject({
    revision: 1,
    status: 'ACTIVE',
  });
});

test('each route needs its own scope: a token with all the other scopes is refused', async () => {
  const scopes = ['clients:write', 'clients:read', 'subscriptions:write', 'audit:read', 'analytics:read'] as const;
  for (const { method, path, scope, orScope, body } of allRoutes()) {
    const others = Portal.of(server, { scopes: scopes.filter((other) => other !== scope && other !== orScope) });
    const answer = await others.send(method, path, { body });
    expect({ path, refusal: answer.refusal }).toEqual({ path, refusal: '403 INSUFFICIENT_SCOPE' });
    expect(answer.problem.detail).toContain(scope);
  }
  expect((await portal.get(client.clientId, await portal.readNow())).body).toMatchObject({
    revision: 1,
    status: 'ACTIVE',
  });
});

test('an auditor lists and finds clients and subscriptions, and changes nothing', async () => {
  const auditor = Portal.of(server, { scopes: ['audit:read'] });
  const headers = await portal.readNow();
  expect((await auditor.list({}, headers)).body.items).toContainEqual(
    expect.objectContaining({ clientId: client.clientId }),
  );
  expect((await auditor.get(client.clientId, headers)).body).toMatchObject({ clientId: client.clientId });
  expect((await auditor.clientsOf('sub_weather', {}, headers)).body.items).toHaveLength(1);
  expect((await auditor.subscription('sub_weather', headers)).body).toMatchObject({ subscriptionId: 'sub_weather' });
  expect((await auditor.subscriptions({}, headers)).status).toBe(200);
  expect((await auditor.rename(client.clientId, 'Mine now')).refusal).toBe('403 INSUFFICIENT_SCOPE');
});

test('ids of another workspace get exactly the answer that unknown ids get', async () => {
  const stranger = Portal.of(server, { workspaceId: 'globex' });
  await stranger.register('sub_own', { endpointUri: 'globex-own' });
  const unknown = `cc_${'0'.repeat(22)}`;
  const withoutRequestId = ({ status, text, headers }: Answer<unknown>) => ({
    status,
    text: text.replace(/"requestId":"[^"]*"/, ''),
    type: headers['content-type'],
    etag: headers.etag,
  });
  const caughtUp = await stranger.readNow();
  const foreignRoutes = routesOf(client.clientId, 'sub_weather');
  const unknownRoutes = routesOf(unknown, 'sub_of_nobody');
  for (const [at, route] of foreignRoutes.entries()) {
    const same = unknownRoutes[at];
    if (!same) throw new Error('No such route');
    for (const headers of [
      {},
      { 'if-match': '"1"' },
      { 'if-match': '"0"' },
      caughtUp,
      { 'idempotency-key': randomUUID() },
    ]) {
      const answer = await stranger.send(route.method, route.path, { headers, body: route.body });
      expect(answer.status).toBe(404);
      const reference = await stranger.send(same.method, same.path, { headers, body: same.body });
      expect(withoutRequestId(answer)).toEqual(withoutRequestId(reference));
    }
  }
  expect((await stranger.list({}, caughtUp)).body.items).toEqual([]);
  expect((await portal.get(client.clientId, await portal.readNow())).body).toMatchObject({
    revision: 1,
    status: 'ACTIVE',
  });
});

describe('X-Workspace-Id', () => {
  const named = (workspaceId: string) => ({ 'x-workspace-id': workspaceId });

  test('is for operators: they must name a workspace, and act in it', async () => {
    const operator = new Portal(server.url, server.adminToken);
    expect((await operator.list()).refusal).toBe('400 VALIDATION_FAILED');
    expect((await operator.list()).problem.errors?.map(({ field }) => field)).toEqual(['X-Workspace-Id']);
    for (const malformed of ['', 'a b', 'a/b', 'a'.repeat(65), 'acme, globex']) {
      expect((await operator.list({}, named(malformed))).refusal).toBe('400 VALIDATION_FAILED');
    }
    expect((await operator.get(client.clientId, named('acme'))).body.clientId).toBe(client.clientId);
    expect((await operator.get(client.clientId, named('globex'))).refusal).toBe('404 CLIENT_NOT_FOUND');
    const created = await operator.create({}, named('initech'));
    expect(created.body.client.workspaceId).toBe('initech');
    const history = await operator.history(
      created.body.client.clientId,
      {},
      { ...readAfter(created), ...named('initech') },
    );
    expect(history.body.items[0]).toMatchObject({ actor: { subject: 'administrator' }, workspaceId: 'initech' });
  });

  test('may name only the caller’s own workspace if the caller is no operator', async () => {
    expect((await portal.list({}, named('globex'))).refusal).toBe('403 INSUFFICIENT_SCOPE');
    expect((await portal.list({}, named('acme'))).status).toBe(200);
  });
});

describe('tokens of the command line', () => {
  test('`token` prints a token that is good for its workspace and scopes', async () => {
    const { stdout, status } = cli('token', '--workspace', 'acme', '--scope', 'clients:read', '--subject', 'analyst');
    expect(status).toBe(0);
    const analyst = new Portal(server.url, stdout);
    expect((await analyst.get(client.clientId)).status).toBe(200);
    expect((await analyst.rename(client.clientId, 'x')).refusal).toBe('403 INSUFFICIENT_SCOPE');
  });

  test('`token` refuses invalid options, and prints no token', () => {
    for (const parameters of [
      ['--scope', 'everything'],
      [],
      ['--scope', 'clients:read', '--ttl', '0'],
      ['--scope', 'clients:read', '--workspace', 'a b'],
    ]) {
      const { stdout, status } = cli('token', ...parameters);
      expect({ stdout, status }).toEqual({ stdout: '', status: 64 });
    }
  });

  test('`tokens list` shows what `token` has made; `tokens end` ends one of them, on every node and after a restart', async () => {
    const [leaked, kept] = ['jane', 'joe'].map((subject) => {
      const options = ['--workspace', 'acme', '--scope', 'clients:read', '--subject', subject, '--operator', 'olga'];
      const { stdout } = cli('token', ...options, '--reason', 'A trial', '--json');
      return JSON.parse(stdout) as { token: string; tokenId: string };
    }) as [{ token: string; tokenId: string }, { token: string; tokenId: string }];
    const listOf = (url: string, { token }: { token: string }) => new Portal(url, token).list();
    expect((await listOf(server.url, leaked)).status).toBe(200);

    const ended = cli('tokens', 'end', leaked.tokenId, '--reason', 'Laptop lost', '--subject', 'oscar');
    expect(ended).toMatchObject({ status: 0, stdout: `${leaked.tokenId} is ended` });
    const another = await Standalone.startReady({ dataDir: server.dataDir });
    try {
      for (const url of [server.url, another.url]) {
        expect((await listOf(url, leaked)).refusal).toBe('401 UNAUTHENTICATED');
        expect((await listOf(url, kept)).status).toBe(200);
      }
    } finally {
      await another.stop();
    }

    const listed = JSON.parse(cli('tokens', 'list', '--json').stdout) as { tokenId: string }[];
    const made = { scopes: ['clients:read'], workspaceId: 'acme', issuedBy: 'olga', reason: 'A trial' };
    expect(listed.filter(({ tokenId }) => [leaked, kept].some((each) => each.tokenId === tokenId))).toMatchObject([
      { ...made, tokenSubject: 'jane', status: 'ENDED', endedBy: 'oscar' },
      { ...made, tokenSubject: 'joe', status: 'GOOD' },
    ]);
    expect(cli('tokens', 'end', leaked.tokenId).stdout).toBe(`${leaked.tokenId} is ended already`);
    expect(cli('tokens', 'end', randomUUID()).status).toBe(4);
    expect(cli('tokens', 'end', kept.tokenId, '--all', '--yes').status).toBe(64);
  });

  test('an expired token is refused', async () => {
    const { stdout } = cli('token', '--workspace', 'acme', '--scope', 'clients:read', '--ttl', '1');
    const expiring = new Portal(server.url, stdout);
    const { exp = 0 } = JSON.parse(Buffer.from(stdout.split('.')[1] ?? '', 'base64url').toString()) as { exp?: number };
    await new Promise((resolve) => setTimeout(resolve, exp * 1000 - Date.now()));
    expect((await expiring.list()).refusal).toBe('401 UNAUTHENTICATED');
  });

  test('`admin-token rotate`: the former token is refused at once by the running server, the new one is good', async () => {
    const acme = { 'x-workspace-id': 'acme' };
    const former = new Portal(server.url, server.adminToken);
    expect((await former.list({}, acme)).status).toBe(200);
    const { stdout, stderr, status } = cli('admin-token', 'rotate', '--reason', 'Jane has left', '--subject', 'olga');
    expect(status).toBe(0);
    expect((await former.list({}, acme)).refusal).toBe('401 UNAUTHENTICATED');
    expect((await new Portal(server.url, server.adminToken).list({}, acme)).status).toBe(200);
    expect(stdout).toContain(join(server.dataDir, 'admin.token'));
    expect(stdout + stderr).not.toContain(server.adminToken);
    expect(statSync(join(server.dataDir, 'admin.token')).mode & 0o777).toBe(0o600);
    const acts = await withEventLog(server.dataDir, (log) => log.readStream('operatorActs', { consistency: 'strong' }));
    expect(acts.at(-1)).toMatchObject({
      ...{ type: 'AdministratorTokenRotated', data: { reason: 'Jane has left' } },
      metadata: { actor: { subject: 'olga', via: 'cli' } },
    });
  });
});

test('a consumer’s token is refused at the management API', async () => {
  const { access_token: token } = (await oauthLogin(server.url, client)).body;
  expect((await new Portal(server.url, token).list()).refusal).toBe('401 UNAUTHENTICATED');
});

test('a caller above the limit is told when to try again, counted and logged; other callers are not slowed down', async () => {
  const env = { RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '5', LOG_LEVEL: 'info' };
  const limited = await Standalone.startReady({ env });
  try {
    const busy = Portal.of(limited, { subject: 'busy' });
    for (let left = 4; left >= 0; left--) {
      const answer = await busy.list();
      expect(answer.status).toBe(200);
      expect(answer.header('ratelimit-limit')).toBe('5');
      expect(answer.header('ratelimit-remaining')).toBe(String(left));
      expect(Number(answer.header('ratelimit-reset'))).toBeGreaterThan(0);
    }
    const refused = await busy.create();
    expect(refused.refusal).toBe('429 RATE_LIMITED');
    expect(refused.header('retry-after')).toBe(refused.header('ratelimit-reset'));
    expect(Number(refused.header('retry-after'))).toBeGreaterThan(0);
    expect(Number(refused.header('retry-after'))).toBeLessThanOrEqual(60);
    await limited.printed(
      new RegExp('"route":"/v1/clients","status":429,.*"workspaceId":"acme","subject":"busy","code":"RATE_LIMITED"'),
    );
    expect(await metricOf(limited.url, 'rate_limited_total{limit="management_subject"}')).toBe(1);
    for (const queue of ['verifying', 'minting']) {
      expect(await metricOf(limited.url, `argon2_refused_total{queue="${queue}"}`)).toBe(0);
      expect(await metricOf(limited.url, `argon2_waiting{queue="${queue}"}`)).toBe(0);
    }
    const calm = Portal.of(limited, { subject: 'calm' });
    expect((await calm.list({}, await calm.readNow())).body.items).toEqual([]);
  } finally {
    await limited.stop();
  }
});
