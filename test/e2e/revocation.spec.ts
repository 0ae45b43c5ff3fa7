import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, type HttpRequest, send } from '../support/api/http.js';
import { apiKeyLogin, form, type LoginAnswer, oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { basicOf, clientOfKey, introspect, refresh, refreshTokenOf, revokeToken } from '../support/api/oauth.js';
import { type NewClient, Portal, secretOf } from '../support/api/portal.js';
import { ProgramClock } from '../support/doubles/program-clock.js';
import { eventTypesOf } from '../support/processes/data-dir.js';
import { Standalone } from '../support/processes/standalone.js';

let clock: ProgramClock;
let dataDir: string;
let server: Standalone;
let portal: Portal;

beforeAll(async () => {
  clock = new ProgramClock();
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  server = await Standalone.startReady({ dataDir, env: clock.env });
  portal = Portal.of(server);
});

afterEach(() => {
  clock.set(0);
});

afterAll(async () => {
  await server.stop();
  clock.remove();
  rmSync(dataDir, { recursive: true });
});

const isActive = async (client: NewClient, { body }: Answer<LoginAnswer>, url = server.url) =>
  (await introspect(url, body.access_token, basicOf(client))).body.active;

/** Resolves to the token revocations in the client's stream. */
const revocationsOf = async ({ clientId }: NewClient) =>
  (await eventTypesOf(dataDir, `consumerClient-${clientId}`)).filter((type) => type === 'ConsumerClientTokenRevoked')
    .length;

async function expectRevoked(answer: Promise<Answer<unknown>>): Promise<void> {
  const { status, text, headers } = await answer;
  expect({ status, text }).toEqual({ status: 200, text: '' });
  expect(headers['cache-control']).toBe('no-store');
}

describe('revoking', () => {
  test('an access token ends only that token, and leaves its family', async () => {
    const client = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    const refreshed = await refresh(server.url, client, refreshTokenOf(login));
    await expectRevoked(revokeToken(server.url, login.body.access_token, basicOf(client)));
    expect(await isActive(client, login)).toBe(false);
    expect(await isActive(client, refreshed)).toBe(true);
    expect((await refresh(server.url, client, refreshTokenOf(login))).status).toBe(200);
  });

  test('a refresh token ends its whole family with all its access tokens, and no other family', async () => {
    const client = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    const refreshed = await refresh(server.url, client, refreshTokenOf(login));
    const other = await oauthLogin(server.url, client);
    await expectRevoked(revokeToken(server.url, refreshTokenOf(login), basicOf(client)));
    for (const member of [login, refreshed]) {
      expect(await isActive(client, member)).toBe(false);
      const answer = await refresh(server.url, client, refreshTokenOf(member));
      expect(oauthErrorOf(answer)).toMatchObject({ status: 400, error: 'invalid_grant' });
    }
    expect(await isActive(client, other)).toBe(true);
    expect((await refresh(server.url, client, refreshTokenOf(other))).status).toBe(200);
  });

  test('an expired refresh token still ends the later tokens of its family', async () => {
    const client = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    clock.set(1700);
    const refreshed = await refresh(server.url, client, refreshTokenOf(login));
    clock.set(1801);
    expect(await isActive(client, refreshed)).toBe(true);
    await expectRevoked(revokeToken(server.url, refreshTokenOf(login), basicOf(client)));
    expect(await isActive(client, refreshed)).toBe(false);
    expect((await refresh(server.url, client, refreshTokenOf(refreshed))).status).toBe(400);
  });

  test('a static token ends its period, authenticated by the API key or by the id and secret inside it', async () => {
    const { secret, ...client } = await portal.newClient('API_KEY');
    const inKey = { ...client, ...clientOfKey(secret) } as NewClient;
    for (const request of [
      (token: string) => form({ token }, basicOf(inKey)),
      (token: string) => form({ token, 'api-key': secret }),
      (token: string) => ({ body: { token, 'api-key': secret } }),
    ]) {
      const login = await apiKeyLogin(server.url, secret);
      expect(await isActive(inKey, login)).toBe(true);
      await expectRevoked(send('POST', server.url, '/oauth/revoke', request(login.body.access_token)));
      expect(await isActive(inKey, login)).toBe(false);
    }
  });

  test('is known to every node at once, and outlives a crash', async () => {
    const client = await portal.newClient('OAUTH2');
    const node = await Standalone.startReady({ dataDir, env: clock.env });
    try {
      const login = await oauthLogin(server.url, client);
      expect(await isActive(client, login, node.url)).toBe(true);
      await revokeToken(server.url, refreshTokenOf(login), basicOf(client));
      expect(await isActive(client, login, node.url)).toBe(false);
      expect((await refresh(node.url, client, refreshTokenOf(login))).status).toBe(400);
      await server.kill();
      server = await Standalone.startReady({ dataDir, env: clock.env });
      portal = Portal.of(server);
      expect(await isActive(client, login)).toBe(false);
    } finally {
      await node.stop();
    }
  });

  test('accepts any hint, and answers 200 for anything that is not our token', async () => {
    const client = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    for (const token of ['unknown', 'a.b.c', 'A'.repeat(5000), portal.token, `${login.body.access_token}x`]) {
      await expectRevoked(revokeToken(server.url, token, basicOf(client)));
    }
    expect(await revocationsOf(client)).toBe(0);
    const hinted = form({ token: login.body.access_token, token_type_hint: 'refresh_token' }, basicOf(client));
    await expectRevoked(send('POST', server.url, '/oauth/revoke', hinted));
    expect(await isActive(client, login)).toBe(false);
  });

  test('another client’s token is refused, and that token stays good', async () => {
    const [owner, thief] = [await portal.newClient('OAUTH2'), await portal.newClient('OAUTH2')];
    const login = await oauthLogin(server.url, owner);
    for (const token of [login.body.access_token, refreshTokenOf(login)]) {
      const answer = await revokeToken(server.url, token, basicOf(thief));
      expect(oauthErrorOf(answer)).toMatchObject({ status: 400, error: 'invalid_grant' });
    }
    expect(await isActive(owner, login)).toBe(true);
    expect((await refresh(server.url, owner, refreshTokenOf(login))).status).toBe(200);
  });

  test('needs a client that authenticates in exactly one way, and a token', async () => {
    const client = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    const { access_token: token } = login.body;
    const { secret: client_secret } = client;
    const requests: [number, string, HttpRequest][] = [
      [401, 'invalid_client', form({ token })],
      [401, 'invalid_client', form({ token, client_id: client.clientId })],
      [401, 'invalid_client', form({ token }, basicOf({ ...client, secret: `ccs_${'a'.repeat(52)}` }))],
      [401, 'invalid_client', form({ token }, { authorization: `Bearer ${token}` })],
      [401, 'invalid_client', form({ token }, { authorization: `Bearer ${portal.token}` })],
      [400, 'invalid_request', form({}, basicOf(client))],
      [400, 'invalid_request', form([['token', token], ['token', token]], basicOf(client))],
      [400, 'invalid_request', form({ token, client_secret }, basicOf(client))],
      [400, 'invalid_request', form({ token, 'api-key': 'x', client_secret })],
    ]; // prettier-ignore
    for (const [status, error, request] of requests) {
      const answer = await send('POST', server.url, '/oauth/revoke', request);
      expect(oauthErrorOf(answer)).toMatchObject({ status, error });
      expect(answer.header('cache-control')).toBe('no-store');
      if (status === 401) expect(answer.header('www-authenticate')).toMatch(/^Basic realm=/);
    }
    const inUrl = `/oauth/revoke?token=${token}`;
    expect((await send('POST', server.url, inUrl, form({ token }, basicOf(client)))).status).toBe(400);
    expect(await isActive(client, login)).toBe(true);
  });
});

describe('the log', () => {
  test('gets one event per revoked token, however often it is revoked, and none for a token that is refused already', async () => {
    const client = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    const refreshed = await refresh(server.url, client, refreshTokenOf(login));
    for (let time = 0; time < 3; time++) {
      await expectRevoked(revokeToken(server.url, refreshTokenOf(login), basicOf(client)));
    }
    for (const token of [refreshTokenOf(refreshed), login.body.access_token, refreshed.body.access_token]) {
      await expectRevoked(revokeToken(server.url, token, basicOf(client)));
    }
    expect(await revocationsOf(client)).toBe(1);

    const former = await oauthLogin(server.url, client);
    const secret = secretOf((await portal.rotate(client.clientId)).body.credential);
    await expectRevoked(revokeToken(server.url, refreshTokenOf(former), basicOf({ ...client, secret })));
    expect(await revocationsOf(client)).toBe(1);
  });

  test('takes the revocation of a token even if the client’s last event has a time in the future, from a wrong clock', async () => {
    const client = await portal.newClient('OAUTH2');
    clock.set(600);
    await portal.rename(client.clientId, 'In ten minutes');
    clock.set(0);
    const login = await oauthLogin(server.url, client);
    expect(await isActive(client, login)).toBe(true);
    await expectRevoked(revokeToken(server.url, login.body.access_token, basicOf(client)));
    expect(await isActive(client, login)).toBe(false);
  });

  test('remembers a token that was revoked while its endpoint was unassigned: assigning it again does not revive the token', async () => {
    await portal.register('sub_returning', { endpointUri: 'returning' });
    const client = await portal.newClient('OAUTH2');
    await portal.assign(client.clientId, 'sub_returning');
    const login = await oauthLogin(server.url, client, 'returning');
    await portal.unassign(client.clientId, 'sub_returning');
    await expectRevoked(revokeToken(server.url, login.body.access_token, basicOf(client)));
    await portal.assign(client.clientId, 'sub_returning');
    expect(await isActive(client, login)).toBe(false);
  });

  test('takes 30 revocations of a client in a minute; the next is 429, has no effect, and can be repeated', async () => {
    const [client, other] = [await portal.newClient('OAUTH2'), await portal.newClient('OAUTH2')];
    const logins: Answer<LoginAnswer>[] = [];
    for (let n = 0; n < 31; n++) logins.push(await oauthLogin(server.url, client));
    const last = logins.pop();
    if (!last) throw new Error('No login');
    for (const login of logins) await expectRevoked(revokeToken(server.url, refreshTokenOf(login), basicOf(client)));
    const refused = await revokeToken(server.url, last.body.access_token, basicOf(client));
    expect(oauthErrorOf(refused)).toMatchObject({ status: 429, error: 'temporarily_unavailable' });
    expect(refused.header('retry-after')).toBe('60');
    expect(await isActive(client, last)).toBe(true);
    expect(await revocationsOf(client)).toBe(30);
    const repeated = revokeToken(server.url, refreshTokenOf(logins[0] ?? last), basicOf(client));
    await expectRevoked(repeated);
    const others = await oauthLogin(server.url, other);
    await expectRevoked(revokeToken(server.url, others.body.access_token, basicOf(other)));
    clock.set(61);
    await expectRevoked(revokeToken(server.url, last.body.access_token, basicOf(client)));
    expect(await isActive(client, last)).toBe(false);
  });
});
