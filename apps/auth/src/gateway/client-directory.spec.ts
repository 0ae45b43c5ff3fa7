import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CredentialVerifier, MasterKeys, newClientId } from '#credentials';
import type { ClientId, ConsumerClientCommand } from '#domain';
import { type BookOfRecord, type EventLog, LogUnavailable, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { CommandContext } from '#events';
import {
  AdminTokenFile,
  BootstrapIssuer,
  ManagementTokenVerifier,
  RefreshTokens,
  SigningKeyRing,
  issueAccessToken,
} from '#tokens';
import { HeldEventLog } from '../../../../test/support/held-event-log.js';
import { eventually } from '../../../../test/support/http.js';
import { TokenStanding } from '../standing/token-standing.js';
import { ClientDirectory } from './client-directory.js';
import { GatewayCheck } from './gateway-check.js';

const ISSUER = 'https://api.marketplace.example';
const SECRET = 's'.repeat(43);
const MAX_LAG_MS = 300;
const WORKSPACE = 'acme';

const context = (): CommandContext => ({
  commandId: randomUUID(),
  commandHash: '',
  actor: { subject: 'portal-backend', roles: [], via: 'http' },
  workspaceId: WORKSPACE,
  correlationId: 'a-test',
  causationId: 'a-test',
});
const now = () => new Date().toISOString();

let folder: string;
let log: EventLog;
/** Another node's: it writes straight to the log. */
let office: BookOfRecord;
/** What the gateway's node sees of the log. */
let held: HeldEventLog;
let ring: SigningKeyRing;
let standing: TokenStanding;
let directory: ClientDirectory;
let gateway: GatewayCheck;
let stop: AbortController;
let running: Promise<void>;
let outages: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'client-directory-'));
  log = await openSqliteEventLog({ file: join(folder, 'events.db') });
  office = await openBookOfRecord(log, () => new Date());
  held = new HeldEventLog(log);
  const book = await openBookOfRecord(held, () => new Date());
  const masterKeys = MasterKeys.from({ current: Buffer.alloc(32, 7), previous: [] });
  ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: 'EdDSA' });
  await ring.start();
  const dependencies = {
    ...{ book, ring, opened: Promise.resolve() },
    verifier: new CredentialVerifier({ keys: masterKeys }),
    refreshTokens: new RefreshTokens(masterKeys),
    managementTokens: new ManagementTokenVerifier({
      bootstrap: new BootstrapIssuer(masterKeys),
      adminToken: new AdminTokenFile(join(folder, 'admin.token')),
    }),
    issuer: ISSUER,
    clock: () => new Date(),
    now,
    gateway: { uriFrom: 'header', tokenHeader: 'x-apx-authorization', secret: SECRET, maxLagMs: MAX_LAG_MS },
  } as const;
  standing = new TokenStanding(dependencies);
  outages = [];
  directory = new ClientDirectory({
    book: () => book,
    maxLagMs: MAX_LAG_MS,
    observer: {
      outageBegan: () => outages.push('began'),
      outageEnded: () => outages.push('ended'),
    },
  });
  gateway = new GatewayCheck(dependencies, standing, directory, { seen: () => undefined });
  stop = new AbortController();
  running = directory.run(stop.signal);
  await until(() => directory.isCurrent());
});

afterEach(async () => {
  held.reads.letThrough();
  held.batches.letThrough();
  stop.abort();
  await running;
  await log.close();
  rmSync(folder, { recursive: true });
});

const until = (isSo: () => boolean, seconds?: number) => eventually(() => Promise.resolve(isSo()), Boolean, seconds);

/** Whatever was acknowledged before has come by. */
const caughtUp = () => {
  const since = performance.now();
  return eventually(
    () => log.mark().then(() => performance.now() - directory.lagMs()),
    (completeTo) => completeTo > since,
  );
};

const command = (clientId: ClientId, wish: ConsumerClientCommand) => office.clients.execute(clientId, wish, context());

async function newClient(): Promise<ClientId> {
  const clientId = newClientId();
  const verifier = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g';
  const created = { type: 'CreateClient', clientId, workspaceId: WORKSPACE, name: 'Orders', verifier } as const;
  await command(clientId, { ...created, authenticationType: 'OAUTH2', at: now() });
  return clientId;
}

async function register(uri: string, subscriptionId = `sub_${uri}`): Promise<void> {
  const claim = { type: 'ClaimEndpointUri', endpointUri: uri, workspaceId: WORKSPACE, subscriptionId } as const;
  const { commandId, ...rest } = context();
  await office.endpointUris.execute(
    uri,
    { ...claim, commandId, holderIsRegistered: false, at: now() },
    { commandId, ...rest },
  );
  const registration = {
    type: 'RegisterSubscription',
    subscriptionId,
    workspaceId: WORKSPACE,
    endpointUri: uri,
  } as const;
  await office.subscriptions.execute(subscriptionId, { ...registration, serviceName: 'Weather', at: now() }, context());
}

const assign = async (clientId: ClientId, uri: string) => {
  const { state: subscription } = await office.subscriptions.read(`sub_${uri}`);
  await command(clientId, { type: 'AssignToSubscription', workspaceId: WORKSPACE, subscription, at: now() });
};

const revoke = (clientId: ClientId) =>
  command(clientId, { type: 'RevokeClient', workspaceId: WORKSPACE, reason: 'Retired', at: now() });

const tokenOf = async (clientId: ClientId) => {
  const grant = { issuer: ISSUER, clientId, generation: 1 };
  return issueAccessToken(ring.signer(await ring.state()), grant, { issuedAt: now(), jti: randomUUID() }).token;
};

/** The answer's code; `UNAVAILABLE` where the check can't tell. */
async function check(token: string, uri = 'weather'): Promise<string> {
  const rawHeaders = ['X-Gateway-Secret', SECRET, 'X-Endpoint-Uri', uri, 'Authorization', `Bearer ${token}`];
  try {
    return (await gateway.check({ rawHeaders, target: '/gateway/check' })).code;
  } catch (error) {
    if (error instanceof LogUnavailable) return 'UNAVAILABLE';
    throw error;
  }
}

/** A client of the endpoint `weather`, its token known to the verifier, nothing of it in the directory yet. */
async function consumer() {
  const clientId = await newClient();
  await register('weather');
  await assign(clientId, 'weather');
  const token = await tokenOf(clientId);
  await standing.verified(token);
  await caughtUp();
  return { clientId, token };
}

describe('while the directory is current', () => {
  test('a second call is answered without the log', async () => {
    const { token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    held.unreachable = true;
    expect(await check(token)).toBe('GOOD');
  });

  test('what others did comes by, in whichever stream', async () => {
    const { clientId, token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    await command(clientId, {
      type: 'UnassignFromSubscription',
      workspaceId: WORKSPACE,
      subscriptionId: 'sub_weather',
      reason: 'REQUESTED',
      at: now(),
    });
    await caughtUp();
    expect(await check(token)).toBe('NOT_ASSIGNED');
    await assign(clientId, 'weather');
    expect(await check(token)).toBe('GOOD');
    const end = { type: 'EndSubscription', workspaceId: WORKSPACE, reason: 'Over', at: now() } as const;
    await office.subscriptions.execute('sub_weather', end, context());
    await caughtUp();
    expect(await check(token)).toBe('SUBSCRIPTION_NOT_LIVE');
    await revoke(clientId);
    await caughtUp();
    held.unreachable = true;
    expect(await check(token)).toBe('CLIENT_NOT_ACTIVE');
  });

  test('a compromised key ends what it signed', async () => {
    const { token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    const { keys } = await ring.state();
    const compromise = { type: 'CompromiseSigningKey', kid: keys[0]?.kid ?? '', at: now() } as const;
    await office.signingKeys.execute(undefined, compromise, context());
    await caughtUp();
    expect(await check(token)).toBe('SIGNING_KEY_COMPROMISED');
  });

  test('what is too new for it is looked up: no one is refused for being fast', async () => {
    const { clientId, token } = await consumer();
    await register('tides');
    await caughtUp();
    expect(await check(token, 'tides')).toBe('NOT_ASSIGNED');
    held.batches.close();
    await assign(clientId, 'tides');
    expect(directory.isCurrent()).toBe(true);
    expect(await check(token, 'tides')).toBe('GOOD');
  });

  test('made-up tokens and unnamed endpoints make it read no one’s stream', async () => {
    const { token } = await consumer();
    held.streamsRead.length = 0;
    expect(await check(`${token.slice(0, -3)}AAA`)).toBe('NOT_A_TOKEN');
    expect(await check('made.up.token', 'unknown-endpoint')).toBe('NOT_A_TOKEN');
    expect(await check(token, '../weather')).toBe('NOT_AN_ENDPOINT');
    expect(held.streamsRead.filter((stream) => stream !== 'signingKeys')).toEqual([]);
  });
});

test('a revocation between the fill and the entry is not lost', async () => {
  const { clientId, token } = await consumer();
  held.reads.close();
  const answer = check(token);
  await until(() => held.reads.waiting === 3);
  await revoke(clientId);
  await caughtUp();
  held.reads.letThrough();
  expect(await answer).toBe('CLIENT_NOT_ACTIVE');
  held.unreachable = true;
  expect(await check(token)).toBe('CLIENT_NOT_ACTIVE');
});

test('what was known when a long fill began is not believed at its end', async () => {
  const { clientId, token } = await consumer();
  await register('tides');
  await assign(clientId, 'tides');
  await caughtUp();
  expect(await check(token)).toBe('GOOD');
  held.reads.close();
  const answer = check(token, 'tides');
  await until(() => held.reads.waiting === 1);
  await revoke(clientId);
  await caughtUp();
  held.reads.letThrough();
  expect(await answer).toBe('CLIENT_NOT_ACTIVE');
});

describe('a subscription that falls silent', () => {
  test('is believed for no longer than the bound: then each check reads the log', async () => {
    const { clientId, token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    held.batches.close();
    await revoke(clientId);
    const boundAt = performance.now() + MAX_LAG_MS;
    const late: string[] = [];
    await eventually(
      async () => {
        const isLate = performance.now() > boundAt;
        const code = await check(token);
        if (isLate) late.push(code);
        return late.length;
      },
      (count) => count >= 5,
    );
    expect(new Set(late)).toEqual(new Set(['CLIENT_NOT_ACTIVE']));
    held.unreachable = true;
    expect(await check(token)).toBe('UNAVAILABLE');
    held.batches.letThrough();
    await until(() => directory.isCurrent());
    expect(await check(token)).toBe('CLIENT_NOT_ACTIVE');
  });

  test('proves nothing, even when nothing happened', async () => {
    const { token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    held.batches.close();
    held.unreachable = true;
    await eventually(
      () => check(token),
      (code) => code === 'UNAVAILABLE',
    );
    expect(directory.lagMs()).toBeGreaterThanOrEqual(MAX_LAG_MS);
  });

  test('is begun anew after a while, as long as there are checks', async () => {
    const { token } = await consumer();
    held.batches.close();
    await eventually(
      () => check(token).then(() => held.subscriptions),
      (subscriptions) => subscriptions > 1,
    );
    expect(outages).toEqual(['began']);
    held.batches.letThrough();
    await until(() => directory.isCurrent());
    expect(outages).toEqual(['began', 'ended']);
  }, 15_000);
});

describe('a subscription that broke', () => {
  test('is not believed from then on, nor what was known by it', async () => {
    const { clientId, token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    held.unreachable = true;
    held.cutSubscriptions();
    await until(() => outages.length > 0);
    expect(await check(token)).toBe('UNAVAILABLE');
    await revoke(clientId);
    held.unreachable = false;
    expect(await check(token)).toBe('CLIENT_NOT_ACTIVE');
    await until(() => directory.isCurrent());
    expect(await check(token)).toBe('CLIENT_NOT_ACTIVE');
    expect(outages).toEqual(['began', 'ended']);
  });

  test('is behind when it was begun anew, until a marker came through it', async () => {
    const { token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    held.batches.close();
    held.cutSubscriptions();
    await until(() => held.subscriptions === 2);
    await log.mark();
    expect(directory.isCurrent()).toBe(false);
    expect(await check(token)).toBe('GOOD'); // by the log
    held.unreachable = true;
    expect(await check(token)).toBe('UNAVAILABLE');
    held.unreachable = false;
    held.batches.letThrough();
    await until(() => directory.isCurrent());
  });
});
