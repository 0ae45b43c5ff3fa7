import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { standaloneMasterKey } from '#stores';
import { type Answer, send } from '../support/api/http.js';
import { apiKeyLogin, form, type LoginAnswer, oauthErrorOf, oauthLogin, postLogin } from '../support/api/login.js';
import {
  basicOf,
  clientOfKey,
  INACTIVE,
  introspect,
  refresh,
  refreshTokenOf,
  revokeToken,
} from '../support/api/oauth.js';
import { type NewClient, Portal, secretOf } from '../support/api/portal.js';
import { ProgramClock } from '../support/doubles/program-clock.js';
import { eventTypesOf } from '../support/processes/data-dir.js';
import { Standalone } from '../support/processes/standalone.js';

const YEAR = 31_536_000;

let clock: ProgramClock;
let dataDir: string;
let server: Standalone;
let portal: Portal;
let client: NewClient;

beforeAll(async () => {
  clock = new ProgramClock();
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  server = await Standalone.startReady({ dataDir, env: clock.env });
  portal = Portal.of(server);
  await portal.register('sub_weather_1', { endpointUri: 'weather' });
  await portal.register('sub_tides_1', { endpointUri: 'tides' });
  client = await portal.newClient('OAUTH2');
  await portal.assign(client.clientId, 'sub_weather_1');
  await portal.assign(client.clientId, 'sub_tides_1');
});

afterEach(() => {
  clock.set(0);
});

afterAll(async () => {
  await server.stop();
  clock.remove();
  rmSync(dataDir, { recursive: true });
});

const claimsOf = ({ body }: Answer<LoginAnswer>) => decodeJwt<Record<string, unknown>>(body.access_token);
const isActive = async (token: string, of: NewClient = client) =>
  (await introspect(server.url, token, basicOf(of))).body.active;

const INVALID_GRANT = '400 {"error":"invalid_grant","error_description":"The refresh token is not good here"}';

async function expectInvalidGrant(answer: Promise<Answer<unknown>>, what = ''): Promise<void> {
  const { status, text, headers } = await answer;
  expect(`${what}${status} ${text}`).toBe(`${what}${INVALID_GRANT}`);
  expect(headers).toMatchObject({ 'cache-control': 'no-store', pragma: 'no-cache' });
}

describe('a refresh token', () => {
  test('gives a new pair of the same family each time it is used, by every way to authenticate', async () => {
    const first = await oauthLogin(server.url, client);
    const { clientId: client_id, secret: client_secret } = client;
    const grant = { grant_type: 'refresh_token', refresh_token: refreshTokenOf(first) };
    const answers = [
      await postLogin(server.url, undefined, form(grant, basicOf(client))),
      await postLogin(server.url, undefined, form({ ...grant, client_id }, basicOf(client))),
      await postLogin(server.url, undefined, form({ ...grant, client_id, client_secret })),
      await postLogin(server.url, undefined, { body: { ...grant, client_id, client_secret } }),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', pragma: 'no-cache' });
      expect(answer.body).toMatchObject({ token_type: 'Bearer', expires_in: 300 });
      const { family_id, family_iat, aud, generation } = claimsOf(first);
      expect(claimsOf(answer)).toMatchObject({ family_id, family_iat, aud, generation });
      expect(await isActive(answer.body.access_token)).toBe(true);
    }
    const all = [first, ...answers];
    expect(new Set(all.map((answer) => claimsOf(answer).jti)).size).toBe(5);
    expect(new Set(all.map(refreshTokenOf)).size).toBe(5);
    expect((await refresh(server.url, client, refreshTokenOf(answers[3] ?? first))).status).toBe(200);
  });

  test('begins a family of its own at each login', async () => {
    const [one, two] = [await oauthLogin(server.url, client), await oauthLogin(server.url, client)];
    expect(claimsOf(one).family_id).not.toBe(claimsOf(two).family_id);
  });

  test('is good only at the endpoint that issued it', async () => {
    const plain = refreshTokenOf(await oauthLogin(server.url, client));
    const weather = refreshTokenOf(await oauthLogin(server.url, client, 'weather'));
    const refreshed = await refresh(server.url, client, weather, 'weather');
    expect(claimsOf(refreshed)).toMatchObject({ subscription_id: 'sub_weather_1' });
    await expectInvalidGrant(refresh(server.url, client, plain, 'weather'));
    await expectInvalidGrant(refresh(server.url, client, weather));
    await expectInvalidGrant(refresh(server.url, client, weather, 'tides'));
  });

  test('is good only for its own client, and only with the client’s secret', async () => {
    const token = refreshTokenOf(await oauthLogin(server.url, client));
    const thief = await portal.newClient('OAUTH2');
    await expectInvalidGrant(refresh(server.url, thief, token));
    const key = clientOfKey((await portal.newClient('API_KEY')).secret);
    const strangers: Record<string, Parameters<typeof postLogin>[2]> = {
      'no secret': form({ grant_type: 'refresh_token', refresh_token: token }),
      'a client_id alone': form({ grant_type: 'refresh_token', refresh_token: token, client_id: client.clientId }),
      'a made-up secret': form(
        { grant_type: 'refresh_token', refresh_token: token },
        basicOf({ ...client, secret: `ccs_${'a'.repeat(52)}` }),
      ),
      'an API key’s pair': form({ grant_type: 'refresh_token', refresh_token: token }, basicOf(key)),
    };
    for (const [who, request] of Object.entries(strangers)) {
      const answer = await postLogin(server.url, undefined, request);
      expect({ who, ...oauthErrorOf(answer) }).toMatchObject({ who, status: 401, error: 'invalid_client' });
      expect(answer.header('www-authenticate')).toMatch(/^Basic realm=/);
    }
  });

  test('can’t be replaced by anything else: everything that is no refresh token gets the same 400', async () => {
    const login = await oauthLogin(server.url, client);
    const good = refreshTokenOf(login);
    const draft = (await portal.draft('OAUTH2')).body.draft;
    const wrong: Record<string, string> = {
      'its access token': login.body.access_token,
      'a credential draft': draft,
      'a changed token': `${good.slice(0, -20)}${good.at(-20) === 'A' ? 'B' : 'A'}${good.slice(-19)}`,
      'a shortened token': good.slice(0, -4),
      'a lengthened token': `${good}A`,
      'a huge token': 'A'.repeat(4000),
      words: 'no token',
    };
    for (const [what, token] of Object.entries(wrong)) {
      await expectInvalidGrant(refresh(server.url, client, token), `${what}: `);
    }
  });

  test('must be given exactly once', async () => {
    const token = refreshTokenOf(await oauthLogin(server.url, client));
    const requests = [
      form({ grant_type: 'refresh_token' }, basicOf(client)),
      form({ grant_type: 'refresh_token', refresh_token: '' }, basicOf(client)),
      form([['grant_type', 'refresh_token'], ['refresh_token', token], ['refresh_token', token]], basicOf(client)),
      form([['grant_type', 'refresh_token'], ['refresh_token', ''], ['refresh_token', token]], basicOf(client)),
      form({ grant_type: 'refresh_token', refresh_token: token, client_secret: client.secret }, basicOf(client)),
    ]; // prettier-ignore
    for (const request of requests) {
      const answer = await postLogin(server.url, undefined, request);
      expect(oauthErrorOf(answer)).toMatchObject({ status: 400, error: 'invalid_request' });
      expect(answer.text).not.toContain(token);
    }
  });

  test('is good for 1800 s, and its family for 24 h', async () => {
    const first = refreshTokenOf(await oauthLogin(server.url, client));
    clock.set(1795);
    expect((await refresh(server.url, client, first)).status).toBe(200);
    clock.set(1801);
    await expectInvalidGrant(refresh(server.url, client, first));

    clock.set(0);
    let answer = await oauthLogin(server.url, client);
    for (let seconds = 1700; seconds < 86_400; seconds += 1700) {
      clock.set(seconds);
      answer = await refresh(server.url, client, refreshTokenOf(answer));
      expect(answer.body.expires_in).toBe(300);
    }
    clock.set(86_300);
    answer = await refresh(server.url, client, refreshTokenOf(answer));
    expect(answer.body.expires_in).toBeLessThanOrEqual(100);
    expect(answer.body.expires_in).toBeGreaterThan(80);
    clock.set(86_401);
    await expectInvalidGrant(refresh(server.url, client, refreshTokenOf(answer)));
    expect(await isActive(answer.body.access_token)).toBe(false);
  });

  test('is refused when the assignment, the subscription, the generation or the client has ended', async () => {
    await portal.register('sub_anew', { endpointUri: 'anew' });
    const one = await portal.newClient('OAUTH2');
    await portal.assign(one.clientId, 'sub_anew');
    const token = refreshTokenOf(await oauthLogin(server.url, one, 'anew'));
    await portal.unassign(one.clientId, 'sub_anew');
    expect(oauthErrorOf(await refresh(server.url, one, token, 'anew'))).toMatchObject({ error: 'unauthorized_client' });
    await portal.assign(one.clientId, 'sub_anew');
    expect((await refresh(server.url, one, token, 'anew')).status).toBe(200);
    await portal.end('sub_anew');
    expect(oauthErrorOf(await refresh(server.url, one, token, 'anew'))).toMatchObject({ error: 'unauthorized_client' });

    const plain = refreshTokenOf(await oauthLogin(server.url, one));
    const overlapping = secretOf((await portal.rotate(one.clientId, { overlapSeconds: 600 })).body.credential);
    const refreshed = await refresh(server.url, { ...one, secret: overlapping }, plain);
    expect(claimsOf(refreshed)).toMatchObject({ generation: 1 });
    clock.set(601);
    await expectInvalidGrant(refresh(server.url, { ...one, secret: overlapping }, refreshTokenOf(refreshed)));
    expect((await refresh(server.url, one, plain)).status).toBe(401);
    clock.set(0);
    const newest = refreshTokenOf(await oauthLogin(server.url, { ...one, secret: overlapping }));
    const secret = secretOf((await portal.rotate(one.clientId)).body.credential);
    await expectInvalidGrant(refresh(server.url, { ...one, secret }, newest));

    const last = refreshTokenOf(await oauthLogin(server.url, { ...one, secret }));
    await portal.revoke(one.clientId);
    expect(oauthErrorOf(await refresh(server.url, { ...one, secret }, last))).toMatchObject({
      error: 'invalid_client',
    });
  });

  test('writes nothing to the log, nor does its login', async () => {
    const one = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, one);
    for (let token = refreshTokenOf(login), n = 0; n < 3; n++) {
      token = refreshTokenOf(await refresh(server.url, one, token));
    }
    await introspect(server.url, login.body.access_token, basicOf(one));
    expect(await eventTypesOf(dataDir, `consumerClient-${one.clientId}`)).toEqual(['ConsumerClientCreated']);
  });

  test('outlives a restart and a change of the master key', async () => {
    const token = refreshTokenOf(await oauthLogin(server.url, client));
    await server.kill();
    const former = standaloneMasterKey(dataDir).toString('base64');
    const keys = { MASTER_KEY: randomBytes(32).toString('base64'), MASTER_KEY_PREVIOUS: former };
    server = await Standalone.startReady({ dataDir, env: { ...clock.env, ...keys } });
    const refreshed = await refresh(server.url, client, token);
    expect(refreshed.status).toBe(200);
    await server.stop();
    server = await Standalone.startReady({ dataDir, env: clock.env });
    portal = Portal.of(server);
    await expectInvalidGrant(refresh(server.url, client, refreshTokenOf(refreshed)));
    expect((await refresh(server.url, client, token)).status).toBe(200);
  });
});

describe('a static token', () => {
  const streamOf = ({ clientId }: NewClient) => `consumerClient-${clientId}`;

  test('has the same bytes for exactly one year, and then a new period begins', async () => {
    const key = await portal.newClient('API_KEY');
    const first = await apiKeyLogin(server.url, key.secret);
    const { iat = 0, exp = 0 } = decodeJwt(first.body.access_token);
    expect(exp - iat).toBe(YEAR);
    clock.set(YEAR - 60);
    const last = await apiKeyLogin(server.url, key.secret);
    expect(last.body.access_token).toBe(first.body.access_token);
    expect(last.body.expires_in).toBeLessThanOrEqual(60);
    expect(last.body.expires_in).toBeGreaterThan(40);
    expect((await introspect(server.url, first.body.access_token, basicOf(clientOfKey(key.secret)))).body.active).toBe(
      true,
    );
    clock.set(YEAR + 1);
    expect((await introspect(server.url, first.body.access_token, basicOf(clientOfKey(key.secret)))).text).toBe(
      INACTIVE,
    );
    const next = await apiKeyLogin(server.url, key.secret);
    expect(next.body.access_token).not.toBe(first.body.access_token);
    expect(next.body.expires_in).toBe(YEAR);
    expect((await apiKeyLogin(server.url, key.secret)).body.access_token).toBe(next.body.access_token);
    expect(await eventTypesOf(dataDir, streamOf(key))).toEqual([
      'ConsumerClientCreated',
      'ConsumerClientStaticTokenIssued',
      'ConsumerClientStaticTokenIssued',
    ]);
  });

  test('is a different one for each generation of the key, and each lasts its own year', async () => {
    const key = await portal.newClient('API_KEY');
    const first = await apiKeyLogin(server.url, key.secret);
    const newest = secretOf((await portal.rotate(key.clientId, { overlapSeconds: 600 })).body.credential);
    const second = await apiKeyLogin(server.url, newest);
    expect(second.body.access_token).not.toBe(first.body.access_token);
    expect((await apiKeyLogin(server.url, key.secret)).body.access_token).toBe(first.body.access_token);
    clock.set(601);
    const caller = basicOf(clientOfKey(newest));
    expect((await introspect(server.url, first.body.access_token, caller)).text).toBe(INACTIVE);
    expect((await introspect(server.url, second.body.access_token, caller)).body.active).toBe(true);
  });

  test('is replaced at the next login after its revocation', async () => {
    const key = await portal.newClient('API_KEY');
    const caller = basicOf(clientOfKey(key.secret));
    const first = await apiKeyLogin(server.url, key.secret);
    expect((await revokeToken(server.url, first.body.access_token, caller)).status).toBe(200);
    const second = await apiKeyLogin(server.url, key.secret);
    expect(second.body.access_token).not.toBe(first.body.access_token);
    expect((await introspect(server.url, first.body.access_token, caller)).text).toBe(INACTIVE);
    expect((await introspect(server.url, second.body.access_token, caller)).body.active).toBe(true);
  });

  test('is issued once, with one event, when its first logins come to two nodes at once', async () => {
    const other = await Standalone.startReady({ dataDir, env: clock.env });
    try {
      for (let round = 0; round < 10; round++) {
        const key = await portal.newClient('API_KEY');
        const nodes = [server, other, server, other, server, other];
        const logins = await Promise.all(nodes.map(({ url }) => apiKeyLogin(url, key.secret)));
        expect(new Set(logins.map(({ body }) => body.access_token)).size).toBe(1);
        expect(await eventTypesOf(dataDir, streamOf(key))).toEqual([
          'ConsumerClientCreated',
          'ConsumerClientStaticTokenIssued',
        ]);
      }
    } finally {
      await other.stop();
    }
  });
});

test('a request with two Authorization headers is refused, even if both are good', async () => {
  const { authorization } = basicOf(client);
  const { headers, body } = form({ grant_type: 'client_credentials', token: randomUUID() }, {});
  for (const path of ['/login', '/weather/login', '/oauth/introspect', '/oauth/revoke']) {
    const twice = { ...headers, authorization: [authorization, authorization] };
    const answer = await send('POST', server.url, path, { headers: twice, body });
    expect(oauthErrorOf(answer)).toMatchObject({ status: 400, error: 'invalid_request' });
    expect(answer.header('cache-control')).toBe('no-store');
  }
});
