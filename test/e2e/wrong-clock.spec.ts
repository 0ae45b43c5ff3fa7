import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consumerClient } from '#domain';
import { GatewayDouble } from '../support/api/gateway.js';
import { type Answer } from '../support/api/http.js';
import { apiKeyLogin, type LoginAnswer, oauthLogin } from '../support/api/login.js';
import { basicOf, clientOfKey, introspect, refresh, refreshTokenOf, revokeToken } from '../support/api/oauth.js';
import {
  type AccessReviewManifest,
  type AuthenticationType,
  type NewClient,
  Portal,
  secretOf,
} from '../support/api/portal.js';
import { ProgramClock } from '../support/doubles/program-clock.js';
import { Cli } from '../support/processes/cli.js';
import { eventTypesOf } from '../support/processes/data-dir.js';
import { Standalone } from '../support/processes/standalone.js';

/** The clock of all processes. Each story sets it wrong for a moment, and then right again. */
let clock: ProgramClock;
let dataDir: string;
let server: Standalone;
let portal: Portal;

beforeAll(async () => {
  clock = new ProgramClock();
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  server = await Standalone.startReady({ dataDir, env: clock.env });
  portal = Portal.of(server);
  await portal.register('weather');
});

afterEach(() => {
  clock.set(0);
});

afterAll(async () => {
  await server.stop();
  clock.remove();
  rmSync(dataDir, { recursive: true });
});

/** Does something while the clock is `seconds` ahead (a negative number: behind), and then sets the clock right. */
const withClockAhead = async <Result>(seconds: number, act: () => Promise<Result>): Promise<Result> => {
  clock.set(seconds);
  try {
    return await act();
  } finally {
    clock.set(0);
  }
};
const isActive = async (client: NewClient, token: string) => {
  const caller = client.authenticationType === 'API_KEY' ? clientOfKey(client.secret) : client;
  return (await introspect(server.url, token, basicOf(caller))).body.active;
};
const tokenOf = ({ body }: Answer<LoginAnswer>) => body.access_token;
const login = async (client: NewClient) => tokenOf(await oauthLogin(server.url, client));
const keyLogin = async (client: NewClient) => tokenOf(await apiKeyLogin(server.url, client.secret));
const rowOf = (ndjson: string, clientId: string) =>
  ndjson
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .find((row) => row.clientId === clientId);
const revoke = async (client: NewClient, token: string) =>
  (await revokeToken(server.url, token, basicOf(client))).status;
const endTokens = async (...options: string[]) => {
  const { code, stdout, stderr } = await Cli.run(['tokens', 'end', ...options], { ...clock.env, DATA_DIR: dataDir });
  return { code, lines: stdout.split('\n').slice(0, -1), stderr };
};

test('a revoked token stays revoked when one event was dated ten minutes later and other tokens are revoked then', async () => {
  const client = await portal.newClient('OAUTH2');
  const [first, second] = [await login(client), await login(client)];
  expect(await revoke(client, first)).toBe(200);
  await withClockAhead(600, () => portal.rename(client.clientId, 'In ten minutes'));
  expect(await revoke(client, second)).toBe(200);
  expect([await isActive(client, first), await isActive(client, second)]).toEqual([false, false]);
});

test('a token that is revoked while the clock is ahead, and so seems to have expired, is refused when the clock is right', async () => {
  const client = await portal.newClient('OAUTH2');
  const answer = await oauthLogin(server.url, client);
  const other = await oauthLogin(server.url, client);
  expect(await withClockAhead(600, () => revoke(client, tokenOf(answer)))).toBe(200);
  expect(await withClockAhead(90_000, () => revoke(client, refreshTokenOf(other)))).toBe(200);
  expect([await isActive(client, tokenOf(answer)), await isActive(client, tokenOf(other))]).toEqual([false, false]);
  expect((await refresh(server.url, client, refreshTokenOf(other))).status).toBe(400);
});

test.each([
  ['after an event that was dated ten minutes later', 0],
  ['while the clock is ten minutes ahead', 600],
])('a retired credential is refused: it is retired %s', async (_when, ahead) => {
  const client = await portal.newClient('OAUTH2');
  await portal.rotate(client.clientId, { overlapSeconds: 300 });
  await withClockAhead(600, () => portal.rename(client.clientId, 'In ten minutes'));
  expect((await oauthLogin(server.url, client)).status).toBe(200);
  const retired = await withClockAhead(ahead, () => portal.retire(client.clientId, 1));
  expect(retired.status).toBe(200);
  expect((await oauthLogin(server.url, client)).status).toBe(401);
});

test('an overlap is as long as asked, whatever time an earlier event carries', async () => {
  const client = await portal.newClient('OAUTH2');
  await withClockAhead(600, () => portal.rename(client.clientId, 'In ten minutes'));
  await portal.rotate(client.clientId, { overlapSeconds: 300 });
  expect(await withClockAhead(290, () => oauthLogin(server.url, client))).toMatchObject({ status: 200 });
  expect(await withClockAhead(301, () => oauthLogin(server.url, client))).toMatchObject({ status: 401 });
});

test('what was done while the clock was ahead is in every answer about the present', async () => {
  const client = await portal.newClient('OAUTH2');
  await portal.assign(client.clientId, 'weather');
  const answer = await oauthLogin(server.url, client, 'weather');
  const tokens = [tokenOf(answer), refreshTokenOf(answer)];
  const before = new Date().toISOString();
  await withClockAhead(600, () => portal.revoke(client.clientId));

  const { body: state } = await portal.state(client.clientId);
  expect(state.client.status).toBe('REVOKED');
  expect(state.wouldLogIn).toEqual({ yes: false, reason: 'REVOKED' });
  expect(Date.parse(state.basis.at)).toBeLessThan(Date.parse(before) + 300_000);
  for (const token of tokens) {
    expect((await portal.tokenStatus(token)).body).toMatchObject({ good: false, reason: 'CLIENT_NOT_ACTIVE' });
    expect((await portal.tokenStatus(token, before)).body).toMatchObject({ good: true });
  }
  const called = (await portal.couldCall({ endpointUri: 'weather' })).body;
  expect(called.items.map(({ clientId }) => clientId)).not.toContain(client.clientId);
  const { at, position = '' } = called;
  const again = await portal.couldCall({ endpointUri: 'weather', at, position });
  expect(again.body).toEqual(called);
  const review = await portal.accessReview<AccessReviewManifest>({ format: 'manifest' });
  const { workspaceId: _, ...query } = review.body.query;
  const rows = (await portal.accessReview({ format: 'ndjson', ...query })).text;
  expect(rowOf(rows, client.clientId)).toMatchObject({ clientStatus: 'REVOKED', reason: 'REVOKED' });
  expect(createHash('sha256').update(rows).digest('hex')).toBe(review.body.files[1]?.sha256);
});

describe('a secret that expires in half an hour', () => {
  const inHalfAnHour = () => new Date(Date.now() + 1_800_000).toISOString();
  const expiring = async (authenticationType: AuthenticationType) => {
    const answer = await portal.create({ authenticationType, expiresAt: inHalfAnHour(), subscriptions: ['weather'] });
    return { ...answer.body.client, secret: secretOf(answer.body.credential), token: '' };
  };

  test('stops at the login and at the gateway of each running process, with the tokens that come from it', async () => {
    const second = await Standalone.startReady({ dataDir, env: clock.env });
    try {
      const servers = [server, second].map(({ url }) => ({ url, gateway: new GatewayDouble({ url, dataDir }) }));
      const [keyed, oauth] = [await expiring('API_KEY'), await expiring('OAUTH2')];
      for (const { url, gateway } of servers) {
        const tokens = await withClockAhead(1700, async () => {
          const logins = [await apiKeyLogin(url, keyed.secret), await oauthLogin(url, oauth, 'weather')];
          expect(logins.map(({ status }) => status)).toEqual([200, 200]);
          return logins.map(tokenOf);
        });
        for (const token of tokens) expect(await withClockAhead(1701, () => gateway.ask({ token }))).toBe('200 GOOD');
        await withClockAhead(1801, async () => {
          for (const token of tokens) expect(await gateway.ask({ token })).toBe('403 EXPIRED');
          expect((await apiKeyLogin(url, keyed.secret)).status).toBe(401);
          expect((await oauthLogin(url, oauth)).status).toBe(401);
        });
      }
      // A rotation makes the client usable again.
      const { client, credential } = (await withClockAhead(1801, () => portal.rotate(oauth.clientId))).body;
      expect(client).toMatchObject({ status: 'ACTIVE', credentials: [{ generation: 2 }] });
      for (const { url } of servers) {
        const again = await withClockAhead(3000, () => oauthLogin(url, { ...oauth, secret: secretOf(credential) }));
        expect(again.status).toBe(200);
      }
    } finally {
      await second.stop();
    }
  });

  test('is shown with its expiry, also after it, and ends with it although its overlap is longer', async () => {
    const client = await expiring('OAUTH2');
    const [{ expiresAt = '' } = {}] = client.credentials;
    const caughtUp = await portal.readNow();
    const read = await withClockAhead(1801, () => portal.get(client.clientId, caughtUp));
    expect(read.body).toMatchObject({ status: 'ACTIVE', credentials: client.credentials });
    const rotated = await portal.rotate(client.clientId, { overlapSeconds: 7200 });
    expect(rotated.body.client.credentials).toMatchObject([{ generation: 1, expiresAt }, { generation: 2 }]);
    const successor = { ...client, secret: secretOf(rotated.body.credential) };
    const early = await withClockAhead(1700, () => oauthLogin(server.url, client));
    expect(early.status).toBe(200);
    await withClockAhead(1801, async () => {
      expect((await oauthLogin(server.url, client)).status).toBe(401);
      expect((await oauthLogin(server.url, successor)).status).toBe(200);
      expect((await refresh(server.url, successor, refreshTokenOf(early))).status).toBe(400);
      expect(await isActive(successor, tokenOf(early))).toBe(false);
      expect((await portal.get(client.clientId)).body.credentials).toMatchObject([{ generation: 2 }]);
    });
  });
});

test('ending all tokens ends those that were dated ten minutes later, too', async () => {
  const [keyed, oauth] = [await portal.newClient('API_KEY'), await portal.newClient('OAUTH2')];
  const [fixed, pair] = await withClockAhead(600, async () => [
    await keyLogin(keyed),
    await oauthLogin(server.url, oauth),
  ]);
  expect(await endTokens('--all', '--yes')).toMatchObject({ code: 0 });
  for (const ahead of [0, 601, 700]) {
    await withClockAhead(ahead, async () => {
      expect([await isActive(keyed, fixed), await isActive(oauth, tokenOf(pair))]).toEqual([false, false]);
      expect((await refresh(server.url, oauth, refreshTokenOf(pair))).status).toBe(400);
    });
  }
  expect([await isActive(keyed, await keyLogin(keyed)), await isActive(oauth, await login(oauth))]).toEqual([
    true,
    true,
  ]);
});

test.each([7200, -7200])(
  'ending all tokens works by a clock that is %d s off, and spares later logins',
  async (off) => {
    const client = await portal.newClient('OAUTH2');
    const before = await login(client);
    expect(await withClockAhead(off, () => endTokens('--client', client.clientId))).toMatchObject({
      lines: ['1 client, 1 ended'],
    });
    expect(await isActive(client, before)).toBe(false);
    const afterwards = await oauthLogin(server.url, client);
    expect(await isActive(client, tokenOf(afterwards))).toBe(true);
    expect((await refresh(server.url, client, refreshTokenOf(afterwards))).status).toBe(200);
  },
);

test('ending the tokens up to a moment counts those from the future as issued before, and spares those in between', async () => {
  const client = await portal.newClient('OAUTH2');
  const fromFuture = await withClockAhead(600, () => login(client));
  const spared = await login(client);
  const minuteAgo = new Date(Date.now() - 60_000).toISOString();
  expect(await endTokens('--client', client.clientId, '--issued-before', minuteAgo)).toMatchObject({ code: 0 });
  expect(await withClockAhead(601, () => isActive(client, fromFuture))).toBe(false);
  expect(await isActive(client, spared)).toBe(true);
});

test('a first login with an API key while the clock is two hours ahead spoils no later login', async () => {
  const client = await portal.newClient('API_KEY');
  await portal.assign(client.clientId, 'weather');
  const gateway = new GatewayDouble(server);
  const early = await withClockAhead(7200, () => keyLogin(client));
  const token = await keyLogin(client);
  expect(await gateway.ask({ token })).toBe('200 GOOD');
  expect(await keyLogin(client)).toBe(token);
  expect(await gateway.ask({ token: early })).toBe('403 NOT_YET_VALID');
  expect(await withClockAhead(7201, () => gateway.ask({ token: early }))).toBe('200 GOOD');
  expect(await endTokens('--client', client.clientId)).toMatchObject({ code: 0 });
  expect(await withClockAhead(7201, () => gateway.ask({ token: early }))).toBe('403 TOKEN_REVOKED');
});

test('a login with an API key while the clock is an hour behind spoils no earlier token', async () => {
  const client = await portal.newClient('API_KEY');
  await portal.assign(client.clientId, 'weather');
  const gateway = new GatewayDouble(server);
  const good = await keyLogin(client);
  const meanwhile = await withClockAhead(-3600, () => keyLogin(client));
  expect(meanwhile).not.toBe(good);
  for (const token of [good, meanwhile]) {
    expect(await gateway.ask({ token })).toBe('200 GOOD');
    expect(await isActive(client, token)).toBe(true);
  }
  expect((await revokeToken(server.url, good, basicOf(clientOfKey(client.secret)))).status).toBe(200);
  expect(await gateway.ask({ token: good })).toBe('403 TOKEN_REVOKED');
  expect(await withClockAhead(-3600, () => isActive(client, good))).toBe(false);
});

test('while the release before may run, what it would not understand is refused, and writes nothing', async () => {
  const before = await Standalone.startReady({ dataDir, env: { ...clock.env, EVENT_VERSIONS: 'previous' } });
  try {
    const there = Portal.of(before);
    const plain = (await there.create({ subscriptions: ['weather'] })).body;
    expect(plain.client.credentials).toEqual([{ generation: 1, createdAt: plain.client.createdAt }]);
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    for (const [field, answer] of [
      ['expiresAt', await there.create({ expiresAt })],
      ['expiresAt', await there.rotate(plain.client.clientId, { expiresAt })],
      ['labels', await there.create({ labels: { team: 'planning' } })],
      ['expiresAt', await there.previewRotation(plain.client.clientId, { expiresAt })],
      ['externalId', await there.create({ externalId: 'crm:previous' })],
      ['description', await there.describe(plain.client.clientId, { description: 'Imports forecasts' })],
      ['externalId', await there.describe(plain.client.clientId, { externalId: 'crm:previous' })],
    ] as const) {
      expect(answer.refusal).toBe('409 UPGRADE_UNFINISHED');
      expect(answer.problem.errors?.[0]?.field).toBe(field);
    }
    expect((await there.previewRotation(plain.client.clientId)).body).toMatchObject({ generation: 2 });
    expect((await portal.create({ externalId: 'crm:previous' })).status).toBe(201);
    const history = await eventTypesOf(dataDir, consumerClient.stream(plain.client.clientId));
    expect(history).toEqual(['ConsumerClientCreated', 'ConsumerClientAssignedToSubscription']);
  } finally {
    await before.stop();
  }
});

test('a static token that the release before had replaced, and held to be revoked, is refused by this release', async () => {
  const client = await portal.newClient('API_KEY');
  await portal.assign(client.clientId, 'weather');
  const gateway = new GatewayDouble(server);
  // This process writes what the release before wrote, and so it refuses each token that it has replaced.
  const before = await Standalone.startReady({ dataDir, env: { ...clock.env, EVENT_VERSIONS: 'previous' } });
  try {
    const loginThere = async () => tokenOf(await apiKeyLogin(before.url, client.secret));
    const replaced = await withClockAhead(600, loginThere);
    const token = await loginThere();
    expect(token).not.toBe(replaced);
    const caller = basicOf(clientOfKey(client.secret));
    const isActiveThere = async () => (await introspect(before.url, replaced, caller)).body.active;
    expect(await withClockAhead(601, isActiveThere)).toBe(false);
    expect((await revokeToken(before.url, replaced, caller)).status).toBe(200);
    const history = await eventTypesOf(dataDir, consumerClient.stream(client.clientId));
    expect(history).not.toContain('ConsumerClientTokenRevoked');
    expect(await withClockAhead(601, () => gateway.ask({ token: replaced }))).toBe('403 TOKEN_REVOKED');
    expect(await withClockAhead(601, () => isActive(client, replaced))).toBe(false);
    expect(await gateway.ask({ token })).toBe('200 GOOD');
    expect(await keyLogin(client)).toBe(token);
  } finally {
    await before.stop();
  }
});

test('thirty revocations while the clock is ahead block no later revocation', async () => {
  const client = await portal.newClient('OAUTH2');
  await withClockAhead(600, async () => {
    for (let n = 0; n < 30; n++) expect(await revoke(client, await login(client))).toBe(200);
    expect(await revoke(client, await login(client))).toBe(429);
  });
  const token = await login(client);
  expect(await revoke(client, token)).toBe(200);
  expect(await isActive(client, token)).toBe(false);
});
