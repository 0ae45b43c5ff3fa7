import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CredentialVerifier, MasterKeys, newClientId } from '#credentials';
import type { ClientId, ConsumerClientCommand } from '#domain';
import { type BookOfRecord, type EventLog, LogUnavailable, openBookOfRecord, quarantineStream } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { CommandContext } from '#events';
import {
  AdminTokenFile,
  BootstrapIssuer,
  issueAccessToken,
  ManagementTokenVerifier,
  RefreshTokens,
  SigningKeyRing,
} from '#tokens';
import { eventually } from '../../../../test/support/api/http.js';
import { HeldEventLog } from '../../../../test/support/doubles/held-event-log.js';
import { suspendedFor } from '../../../../test/support/doubles/suspension.js';
import { UnrecordedUsage } from '../login/unrecorded-usage.js';
import { TokenStanding } from '../tokens/token-standing.js';
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
/** The book of record (read and write access to the log) of another node. This book bypasses `held`. */
let office: BookOfRecord;
/** The log as the gateway's node sees it. The test can delay reads and deliveries, and can cut the connection. */
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
      endedTokens: book.endedManagementTokens,
    }),
    issuer: ISSUER,
    clock: () => new Date(),
    now,
    gateway: {
      uriFrom: 'header',
      refusals: 'marketplace',
      tokenHeader: 'x-apx-authorization',
      secret: SECRET,
      maxLagMs: MAX_LAG_MS,
    },
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
  gateway = new GatewayCheck(dependencies, standing, directory, new UnrecordedUsage());
  stop = new AbortController();
  running = directory.run(stop.signal);
  await until(() => directory.isCurrent());
});

afterEach(async () => {
  jest.restoreAllMocks();
  held.reads.letThrough();
  held.batches.letThrough();
  stop.abort();
  await running;
  await log.close();
  rmSync(folder, { recursive: true });
});

const until = (isSo: () => boolean, seconds?: number) => eventually(() => Promise.resolve(isSo()), Boolean, seconds);

/** Resolves when the directory has applied everything that the log acknowledged before this call. */
const caughtUp = () => {
  const since = performance.now();
  return eventually(
    () => log.mark().then(() => performance.now() - directory.lagMs()),
    (completeTo) => completeTo > since,
  );
};

const execute = (clientId: ClientId, command: ConsumerClientCommand) =>
  office.clients.execute(clientId, command, { context: context() });

async function newClient(): Promise<ClientId> {
  const clientId = newClientId();
  const verifier = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g';
  const created = { type: 'CreateClient', clientId, workspaceId: WORKSPACE, name: 'Orders', verifier } as const;
  await execute(clientId, { ...created, authenticationType: 'OAUTH2', at: now() });
  return clientId;
}

async function register(uri: string, subscriptionId = `sub_${uri}`): Promise<void> {
  const claim = { type: 'ClaimEndpointUri', endpointUri: uri, workspaceId: WORKSPACE, subscriptionId } as const;
  const { commandId, ...rest } = context();
  await office.endpointUris.execute(
    uri,
    { ...claim, commandId, holderIsRegistered: false, at: now() },
    { context: { commandId, ...rest } },
  );
  const registration = {
    type: 'RegisterSubscription',
    subscriptionId,
    workspaceId: WORKSPACE,
    endpointUri: uri,
  } as const;
  await office.subscriptions.execute(
    subscriptionId,
    { ...registration, serviceName: 'Weather', at: now() },
    { context: context() },
  );
}

const assign = async (clientId: ClientId, uri: string) => {
  const { state: subscription } = await office.subscriptions.read(`sub_${uri}`);
  await execute(clientId, { type: 'AssignToSubscription', workspaceId: WORKSPACE, subscription, at: now() });
};

const revoke = (clientId: ClientId) =>
  execute(clientId, { type: 'RevokeClient', workspaceId: WORKSPACE, reason: 'Retired', at: now() });

const tokenOf = async (clientId: ClientId) => {
  const grant = { issuer: ISSUER, clientId, generation: 1 };
  return issueAccessToken(ring.signer(await ring.state()), grant, { issuedAt: now(), jti: randomUUID() }).token;
};

/** Returns the code of the answer, or `UNAVAILABLE` if the check threw `LogUnavailable`. */
async function check(token: string, uri = 'weather'): Promise<string> {
  const rawHeaders = ['X-Gateway-Secret', SECRET, 'X-Endpoint-Uri', uri, 'Authorization', `Bearer ${token}`];
  try {
    return (await gateway.check({ rawHeaders, target: '/gateway/check' })).code;
  } catch (error) {
    if (error instanceof LogUnavailable) return 'UNAVAILABLE';
    throw error;
  }
}

/**
 * Creates a client that is assigned to the endpoint `weather`. The token verifier already remembers the client's token.
 * The directory holds no state of the client yet.
 */
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

  test('changes by other nodes arrive, in every stream', async () => {
    const { clientId, token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    await execute(clientId, {
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
    await office.subscriptions.execute('sub_weather', end, { context: context() });
    await caughtUp();
    expect(await check(token)).toBe('SUBSCRIPTION_NOT_LIVE');
    await revoke(clientId);
    await caughtUp();
    held.unreachable = true;
    expect(await check(token)).toBe('CLIENT_NOT_ACTIVE');
  });

  test('a quarantine ends the tokens of one client, and the others are still answered without the log', async () => {
    const { token } = await consumer();
    const other = await newClient();
    await assign(other, 'weather');
    const othersToken = await tokenOf(other);
    await standing.verified(othersToken);
    await caughtUp();
    expect([await check(token), await check(othersToken)]).toEqual(['GOOD', 'GOOD']);
    await quarantineStream(
      log,
      { stream: `consumerClient-${other}`, lastRevision: undefined },
      { reason: 'Damaged', context: context(), now: () => new Date() },
    );
    await caughtUp();
    held.streamsRead.length = 0;
    expect(await check(token)).toBe('GOOD');
    expect(held.streamsRead).toEqual([]);
    expect(await check(othersToken)).toBe('CLIENT_NOT_ACTIVE');
  });

  test('a compromised key ends the tokens that it signed', async () => {
    const { token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    const { keys } = await ring.state();
    const compromise = { type: 'CompromiseSigningKey', kid: keys[0]?.kid ?? '', at: now() } as const;
    await office.signingKeys.execute(undefined, compromise, { context: context() });
    await caughtUp();
    expect(await check(token)).toBe('SIGNING_KEY_COMPROMISED');
  });

  test('a token or assignment that is too new for it is read from the log: nobody is refused for being fast', async () => {
    const { clientId, token } = await consumer();
    await register('tides');
    await caughtUp();
    expect(await check(token, 'tides')).toBe('NOT_ASSIGNED');
    held.batches.close();
    await assign(clientId, 'tides');
    expect(directory.isCurrent()).toBe(true);
    expect(await check(token, 'tides')).toBe('GOOD');
  });

  test('made-up tokens and requests without an endpoint make it read no stream', async () => {
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

test('states that were known when a long fill began are not believed at its end', async () => {
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
  test('is believed no longer than the limit; after that each check reads the log', async () => {
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

  test('is not believed after a suspension of the virtual machine, during which the monotonic clock stands still', async () => {
    const { clientId, token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    held.batches.close();
    await revoke(clientId);
    suspendedFor(MAX_LAG_MS);
    expect(directory.isCurrent()).toBe(false);
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

  test('is replaced after a while, as long as there are checks', async () => {
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
  });
});

describe('a subscription that broke', () => {
  test('is no longer believed, and neither are the states that it kept current', async () => {
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

  test('counts as behind after it was replaced, until a marker has come through it', async () => {
    const { token } = await consumer();
    expect(await check(token)).toBe('GOOD');
    held.batches.close();
    held.cutSubscriptions();
    await until(() => held.subscriptions === 2);
    await log.mark();
    expect(directory.isCurrent()).toBe(false);
    expect(await check(token)).toBe('GOOD'); // The check has read the log.
    held.unreachable = true;
    expect(await check(token)).toBe('UNAVAILABLE');
    held.unreachable = false;
    held.batches.letThrough();
    await until(() => directory.isCurrent());
  });
});
