import { MasterKeys, mintSecret, newClientId } from '#credentials';
import { standaloneMasterKey } from '#stores';
import { GatewayDouble } from '../support/api/gateway.js';
import { type Answer, type HttpRequest, send } from '../support/api/http.js';
import { apiKeyLogin, basic, form, oauthErrorOf, oauthLogin, postLogin } from '../support/api/login.js';
import { metricOf } from '../support/api/metrics.js';
import { basicOf, type ClientSecret, introspect, refresh, refreshTokenOf, revokeToken } from '../support/api/oauth.js';
import { Portal, secretOf } from '../support/api/portal.js';
import { idleMs } from '../support/load/load-meter.js';
import { Standalone } from '../support/processes/standalone.js';

const PER_CLIENT = 6;
const PER_ADDRESS = 5;
const MADE_UP = `ccs_${'a'.repeat(52)}`;

let server: Standalone;
let portal: Portal;
let masterKeys: MasterKeys;

beforeAll(async () => {
  server = await Standalone.startReady({
    env: {
      RATE_LIMIT_LOGIN_PER_CLIENT: String(PER_CLIENT),
      RATE_LIMIT_LOGIN_PER_ADDRESS: String(PER_ADDRESS),
      TRUSTED_PROXIES: '127.0.0.1, 10.0.0.0/8',
      LOG_LEVEL: 'info',
    },
  });
  portal = Portal.of(server);
  masterKeys = MasterKeys.from({ current: standaloneMasterKey(server.dataDir), previous: [] });
});

afterAll(() => server.stop());

const from = (address: string, request: HttpRequest): HttpRequest => ({
  ...request,
  headers: { ...request.headers, 'x-forwarded-for': address },
});
const credentialsGrant = ({ clientId, secret }: ClientSecret): HttpRequest =>
  form({ grant_type: 'client_credentials' }, { authorization: basic(clientId, secret) });
const loginFrom = (address: string, client: ClientSecret) =>
  postLogin(server.url, undefined, from(address, credentialsGrant(client)));
const statusesOf = async (count: number, ask: () => Promise<Answer<unknown>>): Promise<number[]> => {
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) statuses.push((await ask()).status);
  return statuses;
};
/** Returns a list that holds `status` `count` times. */
const times = (count: number, status: number): number[] => Array<number>(count).fill(status);

/** Sends all requests. At most eight requests run at the same time. */
async function flood(requests: readonly (() => Promise<Answer<unknown>>)[]): Promise<Answer<unknown>[]> {
  const answers: Answer<unknown>[] = [];
  const queue = requests.values();
  const sender = async () => {
    for (const ask of queue) answers.push(await ask());
  };
  await Promise.all(Array.from({ length: 8 }, sender));
  return answers;
}

function expectTooMany(answer: Answer<unknown>, limit: number): void {
  expect(oauthErrorOf(answer)).toMatchObject({ status: 429, error: 'temporarily_unavailable' });
  expect(answer.header('ratelimit-limit')).toBe(String(limit));
  expect(answer.header('ratelimit-remaining')).toBe('0');
  expect(answer.header('retry-after')).toBe(answer.header('ratelimit-reset'));
  expect(Number(answer.header('retry-after'))).toBeGreaterThan(0);
  expect(Number(answer.header('retry-after'))).toBeLessThanOrEqual(60);
  expect(answer.header('cache-control')).toBe('no-store');
}

describe('a client', () => {
  test('has one limit per minute for logins, refreshes, introspections and revocations; another client is not slowed down', async () => {
    const client = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    const { access_token: token } = login.body;
    const answers = [
      login,
      await refresh(server.url, client, refreshTokenOf(login)),
      await introspect(server.url, token, basicOf(client)),
      await oauthLogin(server.url, client, 'no-such-endpoint'),
      await revokeToken(server.url, token, basicOf(client)),
      await oauthLogin(server.url, client),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 400, 200, 200]);
    expect(answers.map((answer) => answer.header('ratelimit-remaining'))).toEqual(['5', '4', '3', '2', '1', '0']);
    expect(new Set(answers.map((answer) => answer.header('ratelimit-limit')))).toEqual(new Set([String(PER_CLIENT)]));
    for (const tooMany of [
      await oauthLogin(server.url, client),
      await loginFrom('203.0.113.200', client),
      await refresh(server.url, client, refreshTokenOf(login)),
      await introspect(server.url, token, basicOf(client)),
      await revokeToken(server.url, token, basicOf(client)),
    ]) {
      expectTooMany(tooMany, PER_CLIENT);
    }
    expect((await oauthLogin(server.url, await portal.newClient('OAUTH2'))).status).toBe(200);
    expect((await apiKeyLogin(server.url, (await portal.newClient('API_KEY')).secret)).status).toBe(200);
  });

  test('is not locked out by a caller with its former secret; the refusals are counted by reason', async () => {
    const counted = async (reason: string) =>
      (await metricOf(server.url, `oauth_refusals_total{route="/login",reason="${reason}"}`)) ?? 0;
    const limited = async () => (await metricOf(server.url, 'rate_limited_total{limit="client_refused"}')) ?? 0;
    const before = [await counted('BAD_SECRET'), await counted('RATE_LIMITED'), await limited()];
    const client = await portal.newClient('OAUTH2');
    const current = { ...client, secret: secretOf((await portal.rotate(client.clientId)).body.credential) };
    const refused = await statusesOf(PER_CLIENT + 3, () => oauthLogin(server.url, client));
    expect(refused).toEqual([...times(PER_CLIENT, 401), ...times(3, 429)]);
    expectTooMany(await oauthLogin(server.url, client), PER_CLIENT);
    expect((await oauthLogin(server.url, current)).status).toBe(200);
    const after = [await counted('BAD_SECRET'), await counted('RATE_LIMITED'), await limited()];
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual([PER_CLIENT, 4, 4]);
  });

  test('is not locked out by 10,000 refusals for its id, from its own address and with everything that others can know', async () => {
    const client = await portal.newClient('OAUTH2');
    const current = { ...client, secret: secretOf((await portal.rotate(client.clientId)).body.credential) };
    const guesses = Array.from({ length: 5000 }, () => () => oauthLogin(server.url, { ...client, secret: MADE_UP }));
    const former = Array.from({ length: 5000 }, () => () => oauthLogin(server.url, client));
    const answers = await flood([...guesses, ...former]);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401, 429]));
    const logInTwice = async () => {
      expect((await oauthLogin(server.url, current)).status).toBe(200);
      expect((await oauthLogin(server.url, current)).status).toBe(200);
    };
    expect(await idleMs(logInTwice)).toBeLessThan(1000);
  });
});

describe('made-up credentials', () => {
  const guess = (): ClientSecret => ({ clientId: newClientId(), secret: MADE_UP });

  test('are refused with 429 from an address with too many tries; good logins from there are not', async () => {
    const address = '203.0.113.1';
    const client = await portal.newClient('OAUTH2');
    const guesses: (() => Promise<Answer<unknown>>)[] = [
      () => loginFrom(address, guess()),
      () => loginFrom(address, { ...client, secret: MADE_UP }),
      () => postLogin(server.url, 'weather', from(address, { body: { 'api-key': 'no key at all' } })),
      () =>
        send(
          'POST',
          server.url,
          '/oauth/introspect',
          from(address, form({ token: 'x' }, { authorization: 'Basic ***' })),
        ),
      () => send('POST', server.url, '/oauth/revoke', from(address, form({ token: 'x' }, basicOf(guess())))),
    ];
    for (const ask of guesses) {
      const answer = await ask();
      expect(oauthErrorOf(answer)).toMatchObject({ status: 401, error: 'invalid_client' });
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('ratelimit'))).toEqual([]);
    }
    for (const ask of guesses) expectTooMany(await ask(), PER_ADDRESS);
    expect((await loginFrom(address, client)).status).toBe(200);
    expect((await loginFrom('203.0.113.2', guess())).status).toBe(401);
  });

  test('include made-up management tokens', async () => {
    const address = '203.0.113.9';
    const bearer = (authorization: string) =>
      send('POST', server.url, '/oauth/introspect', from(address, form({ token: 'x' }, { authorization })));
    for (let tries = 0; tries < PER_ADDRESS; tries++) {
      expect(oauthErrorOf(await bearer('Bearer a.b.c'))).toMatchObject({ status: 401, error: 'invalid_token' });
    }
    expectTooMany(await bearer('Bearer a.b.c'), PER_ADDRESS);
    const { token } = Portal.of(server, { scopes: ['tokens:introspect'] });
    expect((await bearer(`Bearer ${token}`)).status).toBe(200);
  });

  test('count for the rightmost address that is no trusted proxy; addresses left of it are ignored', async () => {
    let call = 0;
    const forwarded = () => loginFrom(`198.51.100.${call++}, 203.0.113.3, 10.1.2.3, 10.9.9.9`, guess());
    expect(await statusesOf(PER_ADDRESS + 1, forwarded)).toEqual([...times(PER_ADDRESS, 401), 429]);
    expect((await loginFrom('203.0.113.3', guess())).status).toBe(429);
    expect((await loginFrom('198.51.100.0', guess())).status).toBe(401);
  });

  test('count for a whole IPv6 /64 as if it were one address', async () => {
    let call = 0;
    const anywhere = () => loginFrom(`2001:db8:7:7:${(call++).toString(16)}::1`, guess());
    expect(await statusesOf(PER_ADDRESS + 1, anywhere)).toEqual([...times(PER_ADDRESS, 401), 429]);
    expect((await loginFrom('2001:db8:7:8::1', guess())).status).toBe(401);
  });

  test('leave the gateway check alone: it has no limit', async () => {
    const client = await portal.newClient('OAUTH2');
    await portal.register('sub_weather', { endpointUri: 'weather' });
    await portal.assign(client.clientId, 'sub_weather');
    const { access_token: token } = (await oauthLogin(server.url, client)).body;
    const gateway = new GatewayDouble(server);
    await statusesOf(PER_ADDRESS + 1, () => oauthLogin(server.url, guess()));
    expect((await oauthLogin(server.url, guess())).status).toBe(429);
    const checks = await statusesOf(5 * PER_ADDRESS, () => gateway.check({ token }));
    expect(checks).toEqual(times(5 * PER_ADDRESS, 200));
  });
});

test.each([
  ['203.0.113.90', '203.0.113.90'],
  ['203.0.113.91:4711, 10.0.0.1:443', '203.0.113.91'],
  ['[2001:db8:0:90::7]:4711', '2001:db8:0:90::/64'],
  ['<script>', 'unknown'],
])('the log says from where refused callers come: %s', async (forwarded, address) => {
  await loginFrom(forwarded, { clientId: newClientId(), secret: MADE_UP });
  await server.printed(new RegExp(`"route":"/login",.*"reason":"MADE_UP_SECRET","address":"${address}"`));
  await send('GET', server.url, '/v1/clients', from(forwarded, {}));
  await server.printed(new RegExp(`"route":"/v1/clients","status":401,.*"address":"${address}"`));
});

test('a forwarded address is ignored unless a trusted proxy sent it', async () => {
  const bare = await Standalone.startReady({ env: { RATE_LIMIT_LOGIN_PER_ADDRESS: String(PER_ADDRESS) } });
  try {
    let call = 0;
    const guess = { clientId: newClientId(), secret: MADE_UP };
    const forged = () => postLogin(bare.url, undefined, from(`203.0.113.${call++}`, credentialsGrant(guess)));
    expect(await statusesOf(PER_ADDRESS + 1, forged)).toEqual([...times(PER_ADDRESS, 401), 429]);
  } finally {
    await bare.stop();
  }
});

describe('under a flood', () => {
  test('of secrets that each need an Argon2 run, the client is told to try again later; another client logs in', async () => {
    const [victim, other] = [await portal.newClient('OAUTH2'), await portal.newClient('OAUTH2')];
    const asked = Array.from({ length: 40 }, () =>
      oauthLogin(server.url, { ...victim, secret: mintSecret(victim.clientId, masterKeys) }),
    );
    const login = await oauthLogin(server.url, other);
    const answers = await Promise.all(asked);
    expect(login.status).toBe(200);
    const busy = answers.filter(({ status }) => status === 503);
    expect(busy.length).toBeGreaterThan(0);
    expect(answers.every(({ status }) => [401, 429, 503].includes(status))).toBe(true);
    for (const answer of busy) {
      expect(oauthErrorOf(answer)).toMatchObject({ error: 'temporarily_unavailable' });
      expect(answer.header('retry-after')).toBe('1');
    }
    expect((await oauthLogin(server.url, victim)).status).toBe(200);
  });

  test('of made-up logins, good ones succeed', async () => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => portal.newClient('OAUTH2')));
    let over = false;
    const guess = { clientId: clients[0]?.clientId ?? '', secret: MADE_UP };
    let guesses = 0;
    const attacker = async () => {
      for (; !over; guesses++) await oauthLogin(server.url, guess);
    };
    const attackers = Array.from({ length: 8 }, attacker);
    const logins: number[] = [];
    for (let round = 0; round < PER_CLIENT; round++) {
      for (const client of clients) logins.push((await oauthLogin(server.url, client)).status);
    }
    over = true;
    await Promise.all(attackers);
    expect(logins).toEqual(times(logins.length, 200));
    expect(guesses).toBeGreaterThan(logins.length);
  });
});
