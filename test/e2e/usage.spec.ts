import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GatewayDouble } from '../support/api/gateway.js';
import { eventually } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import { refresh, refreshTokenOf } from '../support/api/oauth.js';
import { type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { ProgramClock } from '../support/doubles/program-clock.js';
import { readModelsCaughtUp } from '../support/events/audit.js';
import { usageIn, usesOf } from '../support/processes/data-dir.js';
import { Standalone } from '../support/processes/standalone.js';

let clock: ProgramClock;
let dataDir: string;
let server: Standalone;
let portal: Portal;
let client: NewClient;

const start = async () => {
  server = await Standalone.startReady({ dataDir, env: clock.env });
  portal = Portal.of(server);
};

beforeEach(async () => {
  clock = new ProgramClock();
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  await start();
  client = await portal.newClient('OAUTH2');
});

afterEach(async () => {
  await server.stop();
  clock.remove();
  rmSync(dataDir, { recursive: true });
});

/** Reads the client when the answer includes every use that is in the log. No consistency token makes it wait for them. */
const shownClient = async ({ clientId }: NewClient = client) => {
  await readModelsCaughtUp(dataDir);
  return portal.get(clientId, await portal.readNow());
};
const lastUsedAt = async (of: NewClient = client) => (await shownClient(of)).body.lastUsedAt;
/** Logs in `times` times. The logins usually fall in the same minute, so one event records all of them. */
const logIn = async (times: number) => {
  for (let n = 0; n < times; n++) expect((await oauthLogin(server.url, client)).status).toBe(200);
};
/**
 * Sets the service's clock `seconds` ahead of the true time, so that a new minute begins. Waits until the log shows
 * that the client was used at least `uses` times.
 */
const nextMinute = async (seconds: number, uses: number) => {
  clock.set(seconds);
  await eventually(
    () => usesOf(dataDir, client.clientId),
    (recorded) => recorded >= uses,
  );
};

/** Returns the secret with another last character. */
const wrong = (secret: string): string => `${secret.slice(0, -1)}${secret.endsWith('x') ? 'y' : 'x'}`;

describe('when a client was last used', () => {
  test('is shown after a minute at most, with the client’s own revision', async () => {
    expect(await lastUsedAt()).toBeUndefined();
    const before = new Date().toISOString();
    const login = await oauthLogin(server.url, client);
    await refresh(server.url, client, refreshTokenOf(login));
    const after = new Date().toISOString();
    expect(await usesOf(dataDir, client.clientId)).toBe(0);
    await nextMinute(61, 2);
    const shown = await shownClient();
    const { lastUsedAt: at = '', revision } = shown.body;
    expect(before <= at && at <= after).toBe(true);
    expect({ revision, etag: shown.header('etag') }).toEqual({ revision: 0, etag: '"0"' });
    const list = await portal.list({}, await portal.readNow());
    expect(list.body.items).toMatchObject([{ clientId: client.clientId, lastUsedAt: at }]);
    const renamed = await portal.rename(client.clientId, 'Renamed', { 'if-match': shown.header('etag') });
    expect((await portal.get(client.clientId, readAfter(renamed))).body).toMatchObject({ lastUsedAt: at, revision: 1 });
  });

  test('is shown for each generation of a credential, so that a person sees when an overlap may end', async () => {
    await oauthLogin(server.url, client);
    const rotated = await portal.rotate(client.clientId, { overlapSeconds: 600 });
    const newest = { ...client, secret: rotated.body.credential?.clientSecret ?? '' };
    const before = new Date().toISOString();
    await oauthLogin(server.url, newest);
    await nextMinute(61, 2);
    const shown = (await shownClient()).body;
    const [first, second] = shown.credentials;
    expect([first?.generation, second?.generation]).toEqual([1, 2]);
    expect((first?.lastUsedAt ?? '') < before && before <= (second?.lastUsedAt ?? '')).toBe(true);
    expect(shown.lastUsedAt).toBe(second?.lastUsedAt);
    expect((await portal.list({}, await portal.readNow())).body.items[0]?.credentials).toEqual(shown.credentials);
  });

  test('is shown rightly again at the next use after the clock was more than a day ahead', async () => {
    clock.set(90_000);
    await logIn(1);
    await nextMinute(90_061, 1);
    clock.set(0);
    await logIn(1);
    const after = new Date().toISOString();
    await nextMinute(61, 2);
    const shown = (await shownClient()).body;
    expect((shown.lastUsedAt ?? '') <= after).toBe(true);
    expect(shown.credentials[0]?.lastUsedAt).toBe(shown.lastUsedAt);
  });

  test('is not changed by a refused login', async () => {
    expect((await oauthLogin(server.url, { ...client, secret: wrong(client.secret) })).status).toBe(401);
    const keyed = await portal.newClient('API_KEY');
    expect((await apiKeyLogin(server.url, keyed.secret)).status).toBe(200);
    await server.stop();
    await start();
    expect(await lastUsedAt()).toBeUndefined();
    expect(await lastUsedAt(keyed)).toBeDefined();
  });
});

describe('uses', () => {
  test('are recorded when the service stops', async () => {
    await logIn(3);
    await server.stop();
    expect(await usesOf(dataDir, client.clientId)).toBe(3);
    await start();
    expect(await lastUsedAt()).toBeDefined();
  });

  test('of the last minute are lost in a crash; earlier ones are not, and none counts twice', async () => {
    await logIn(3);
    await nextMinute(61, 3);
    await logIn(2);
    await server.kill();
    expect(await usesOf(dataDir, client.clientId)).toBe(3);
    await start();
    await logIn(4);
    await nextMinute(200, 7);
    expect(await usesOf(dataDir, client.clientId)).toBe(7);
  });
});

describe('refused attempts', () => {
  const entries = async () => (await usageIn(dataDir)).flatMap((usage) => usage.entries);
  const unknownClients = async () => (await usageIn(dataDir)).reduce((sum, usage) => sum + usage.unknownClients, 0);

  test('are recorded with their reason, and made-up clients as a number only', async () => {
    const { clientId } = client;
    const refusals = [
      { ...client, secret: wrong(client.secret) },
      { ...client, clientId: 'cc_0000000000000000000000' as const },
    ];
    for (const credentials of refusals) expect((await oauthLogin(server.url, credentials)).status).toBe(401);
    expect((await oauthLogin(server.url, client, 'nowhere')).status).toBe(400);
    const login = await oauthLogin(server.url, client);
    await refresh(server.url, client, 'no-refresh-token');
    await server.stop();
    await start();
    await refresh(server.url, client, refreshTokenOf(login));
    await portal.revoke(clientId, 'contract over');
    expect((await oauthLogin(server.url, client)).status).toBe(401);
    await server.stop();
    const seen = (await entries()).map(({ client: id, generation, subscription, outcome, count }) => {
      expect(id).toBe(clientId);
      return [generation, subscription, outcome, count];
    });
    expect(seen).toEqual([
      [1, null, 'NOT_ASSIGNED', 1],
      [1, null, 'OK', 1],
      [1, null, 'BAD_SECRET', 1],
      [null, null, 'BAD_SECRET', 1],
      [1, null, 'OK', 1],
      [null, null, 'REVOKED', 1],
    ]);
    expect(await unknownClients()).toBe(1);
  });

  test('at a gateway are recorded with their subscription', async () => {
    const gateway = new GatewayDouble(server);
    const { clientId } = client;
    for (const id of ['weather', 'tides']) await portal.register(`sub_${id}`, { endpointUri: id });
    await portal.assign(clientId, 'sub_weather');
    const token = (await oauthLogin(server.url, client)).body.access_token;
    expect(await gateway.ask({ token })).toBe('200 GOOD');
    expect(await gateway.ask({ token })).toBe('200 GOOD');
    expect(await gateway.ask({ token, endpoint: 'tides' })).toBe('403 NOT_ASSIGNED');
    expect(await gateway.ask({ token, endpoint: 'nowhere' })).toBe('403 SUBSCRIPTION_NOT_LIVE');
    expect(await gateway.ask({ token: 'made-up' })).toBe('403 NOT_A_TOKEN');
    await portal.end('sub_tides');
    expect(await gateway.ask({ token, endpoint: 'tides' })).toBe('403 SUBSCRIPTION_NOT_LIVE');
    expect((await oauthLogin(server.url, client, 'tides')).status).toBe(400);
    clock.set(400);
    expect(await gateway.ask({ token })).toBe('403 EXPIRED');
    clock.set(0);
    await portal.revoke(clientId, 'contract over');
    expect(await gateway.ask({ token })).toBe('403 CLIENT_NOT_ACTIVE');
    await server.stop();
    const counted = new Map<string, number>();
    for (const { client: id, subscription, outcome, count, generation } of await entries()) {
      expect([id, generation]).toEqual([clientId, 1]);
      const key = `${outcome} ${subscription}`;
      counted.set(key, (counted.get(key) ?? 0) + count);
    }
    expect(Object.fromEntries(counted)).toEqual({
      ...{ 'OK null': 1, 'OK sub_weather': 2, 'NOT_ASSIGNED sub_tides': 1, 'NOT_ASSIGNED null': 1 },
      ...{ 'ENDED sub_tides': 2, 'EXPIRED sub_weather': 1, 'REVOKED sub_weather': 1 },
    });
    expect(await unknownClients()).toBe(1);
  });

  test('above a limit are recorded as such', async () => {
    await server.stop();
    server = await Standalone.startReady({ dataDir, env: { ...clock.env, RATE_LIMIT_LOGIN_PER_CLIENT: '2' } });
    const answers = [];
    for (let n = 0; n < 4; n++) answers.push((await oauthLogin(server.url, client)).status);
    expect(answers).toEqual([200, 200, 429, 429]);
    await server.stop();
    expect((await entries()).map(({ outcome, count }) => [outcome, count])).toEqual([
      ['OK', 2],
      ['RATE_LIMITED', 2],
    ]);
  });
});
