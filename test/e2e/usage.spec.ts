import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { usesOf } from '../support/data-dir.js';
import { eventually } from '../support/http.js';
import { apiKeyLogin, oauthLogin } from '../support/login.js';
import { refresh, refreshTokenOf } from '../support/oauth.js';
import { type NewClient, Portal, readAfter } from '../support/portal.js';
import { ProgramClock } from '../support/program-clock.js';
import { Standalone } from '../support/standalone.js';

jest.setTimeout(60_000);

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

const lastUsedAt = async ({ clientId }: NewClient = client) =>
  (await portal.get(clientId, await portal.readNow())).body.lastUsedAt;
/** Within the same minute, and so within one event, as a rule. */
const logIn = async (times: number) => {
  for (let n = 0; n < times; n++) expect((await oauthLogin(server.url, client)).status).toBe(200);
};
/** A minute goes by for the service, and what it saw is in the log. */
const nextMinute = async (seconds: number, uses: number) => {
  clock.set(seconds);
  await eventually(
    () => usesOf(dataDir, client.clientId),
    (recorded) => recorded >= uses,
  );
};

describe('when a client was last used', () => {
  test('is shown after a minute at most, with the client’s own revision', async () => {
    expect(await lastUsedAt()).toBeUndefined();
    const before = new Date().toISOString();
    const login = await oauthLogin(server.url, client);
    await refresh(server.url, client, refreshTokenOf(login));
    const after = new Date().toISOString();
    expect(await usesOf(dataDir, client.clientId)).toBe(0);
    await nextMinute(61, 2);
    const shown = await portal.get(client.clientId, await portal.readNow());
    const { lastUsedAt: at = '', revision } = shown.body;
    expect(before <= at && at <= after).toBe(true);
    expect({ revision, etag: shown.header('etag') }).toEqual({ revision: 0, etag: '"0"' });
    const list = await portal.list({}, await portal.readNow());
    expect(list.body.items).toMatchObject([{ clientId: client.clientId, lastUsedAt: at }]);
    const renamed = await portal.rename(client.clientId, 'Renamed', { 'if-match': shown.header('etag') });
    expect((await portal.get(client.clientId, readAfter(renamed))).body).toMatchObject({ lastUsedAt: at, revision: 1 });
  });

  test('is not moved by a login that was refused', async () => {
    expect((await oauthLogin(server.url, { ...client, secret: `${client.secret.slice(0, -1)}x` })).status).toBe(401);
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

  test('of the last minute are lost in a crash, none before, and none counts twice', async () => {
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
