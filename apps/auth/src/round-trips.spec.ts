import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { apiKeyOf, CredentialMint, CredentialVerifier, MasterKeys, newClientId } from '#credentials';
import type { AuthenticationType, ClientId } from '#domain';
import { type BookOfRecord, internalContext } from '#event-log';
import { configurationFrom, createLogger } from '#platform';
import { AdminTokenFile, BootstrapIssuer, ManagementTokenVerifier, RefreshTokens, SigningKeyRing } from '#tokens';
import { type DistantEventLog, startTwoNodes, type TwoNodes } from '../../../test/support/doubles/distant-event-log.js';
import type { AuthDependencies } from './dependencies.js';
import { ClientDirectory } from './gateway/client-directory.js';
import { GatewayCheck } from './gateway/gateway-check.js';
import { AuthenticationLimits } from './http/authentication-limits.js';
import type { FastRequest } from './http/fast-path.js';
import { authRoutes } from './http/routes.js';
import { ClientAuthentication } from './login/client-authentication.js';
import { Login } from './login/login.js';
import { UnrecordedUsage } from './login/unrecorded-usage.js';
import { Introspection } from './tokens/introspection.js';
import { Revocation } from './tokens/revocation.js';
import { TokenStanding } from './tokens/token-standing.js';

const WORKSPACE = 'acme';
const ENDPOINT = 'weather';
const SUBSCRIPTION = 'sub_weather';
const GATEWAY_SECRET = 's'.repeat(43);

type Parameters = Readonly<Record<string, string>>;

interface Consumer {
  readonly clientId: ClientId;
  readonly secret: string;
}

const masterKeys = MasterKeys.from({ current: Buffer.alloc(32, 7), previous: [] });
const mint = new CredentialMint({ keys: masterKeys });
const now = () => new Date().toISOString();
const by = () => ({ context: internalContext({ via: 'test', workspaceId: WORKSPACE }) });

let nodes: TwoNodes;
let distant: DistantEventLog;
let office: BookOfRecord;
let post: (path: string, parameters: Parameters) => Promise<Readonly<Record<string, unknown>>>;
let check: GatewayCheck;
let directory: ClientDirectory;
let managementToken: string;
let oauth: Consumer;
let key: Consumer;

beforeEach(async () => {
  nodes = await startTwoNodes();
  ({ distant, office } = nodes);
  const { book, folder } = nodes;
  const ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: 'EdDSA' });
  await ring.start();
  const bootstrap = new BootstrapIssuer(masterKeys);
  const dependencies: AuthDependencies = {
    ...{ book, ring, opened: Promise.resolve(), now, clock: () => new Date() },
    verifier: new CredentialVerifier({ keys: masterKeys }),
    refreshTokens: new RefreshTokens(masterKeys),
    managementTokens: new ManagementTokenVerifier({
      bootstrap,
      adminToken: new AdminTokenFile(join(folder, 'admin.token')),
      endedTokens: book.endedManagementTokens,
    }),
    issuer: 'https://api.marketplace.example',
    gateway: {
      uriFrom: 'header',
      refusals: 'marketplace',
      tokenHeader: 'x-apx-authorization',
      secret: GATEWAY_SECRET,
      maxLagMs: 1_000,
    },
  };
  const attempts = new UnrecordedUsage();
  const standing = new TokenStanding(dependencies);
  const limits = new AuthenticationLimits(configurationFrom({}));
  const observer = { outageBegan: () => undefined, outageEnded: () => undefined };
  directory = new ClientDirectory({ book: () => book, maxLagMs: 60_000, observer });
  check = new GatewayCheck(dependencies, standing, directory, attempts);
  const { routes } = authRoutes({
    ...{ dependencies, limits, check, logger: createLogger('silent'), counts: { checks: {}, refusals: {} } },
    authentication: new ClientAuthentication(dependencies, limits, attempts),
    login: new Login(dependencies, attempts),
    introspection: new Introspection(dependencies, standing),
    revocation: new Revocation(dependencies, standing),
  });
  post = async (path, { authorization, ...parameters }) => {
    const pattern = path === `/${ENDPOINT}/login` ? '/:endpointUri/login' : path;
    const body = Buffer.from(JSON.stringify(parameters));
    const headers = {
      'content-type': 'application/json',
      'content-length': String(body.length),
      ...(authorization !== undefined && { authorization }),
    };
    const request = { id: randomUUID(), target: path, headers, rawHeaders: [], body: () => Promise.resolve(body) };
    const route = routes.find((candidate) => candidate.path === pattern);
    const answer = await route?.handler({ ...request, address: '192.0.2.1' } as unknown as FastRequest);
    if (answer?.status !== 200) throw new Error(`${answer?.status}: ${answer?.body}`);
    return JSON.parse(answer.body ?? '{}') as Record<string, unknown>;
  };
  managementToken = bootstrap.issueManagementToken(
    { subject: 'a-gateway', scopes: ['tokens:introspect'], workspaceId: WORKSPACE, ttlSeconds: 600 },
    new Date(),
  );
  await office.endpointUris.execute(ENDPOINT, claimBy(SUBSCRIPTION), by());
  await office.subscriptions.execute(SUBSCRIPTION, registrationOf(SUBSCRIPTION), by());
  [oauth, key] = [await consumer('OAUTH2'), await consumer('API_KEY')];
});
afterEach(async () => {
  await nodes.end();
});

const claimBy = (subscriptionId: string, at = now()) => ({
  ...({ type: 'ClaimEndpointUri', endpointUri: ENDPOINT, workspaceId: WORKSPACE, subscriptionId } as const),
  ...{ commandId: randomUUID(), holderIsRegistered: false, at },
});
const registrationOf = (subscriptionId: string) => ({
  ...({ type: 'RegisterSubscription', subscriptionId, workspaceId: WORKSPACE, endpointUri: ENDPOINT } as const),
  ...{ serviceName: 'Weather forecasts', at: now() },
});

async function assign(clientId: ClientId, subscriptionId: string): Promise<void> {
  const { state: subscription } = await office.subscriptions.read(subscriptionId);
  const command = { type: 'AssignToSubscription', workspaceId: WORKSPACE, subscription, at: now() } as const;
  await office.clients.execute(clientId, command, by());
}

/** Creates a client that is assigned to the subscription. */
async function consumer(authenticationType: AuthenticationType): Promise<Consumer> {
  const clientId = newClientId();
  const { secret, verifier } = await mint.mint(clientId);
  const identity = { clientId, workspaceId: WORKSPACE, name: 'Importer', authenticationType, verifier };
  await office.clients.execute(clientId, { type: 'CreateClient', ...identity, at: now() }, by());
  await assign(clientId, SUBSCRIPTION);
  return { clientId, secret };
}

const secretsOf = ({ clientId, secret }: Consumer) => ({ client_id: clientId, client_secret: secret });
const loginOf = (client: Consumer) => ({ grant_type: 'client_credentials', ...secretsOf(client) });
const keyLoginOf = ({ clientId, secret }: Consumer) => ({ 'api-key': apiKeyOf(clientId, secret) });

/** Logs in, and returns both tokens. */
const tokensOf = async (path: string): Promise<{ access: string; refresh: string }> => {
  const answer = await post(path, loginOf(oauth));
  return { access: String(answer.access_token), refresh: String(answer.refresh_token) };
};

const roundTrips = (path: string, parameters: Parameters) => distant.roundTrips(() => post(path, parameters));

describe.each(['/login', `/${ENDPOINT}/login`])('at %s', (path) => {
  it('a warm login waits for one round trip to the log: all its streams are read together', async () => {
    await post(path, loginOf(oauth));
    expect(await roundTrips(path, loginOf(oauth))).toBe(1);
  });

  it('a refresh waits for one round trip', async () => {
    const { refresh } = await tokensOf(path);
    const grant = { grant_type: 'refresh_token', refresh_token: refresh, ...secretsOf(oauth) };
    expect(await roundTrips(path, grant)).toBe(1);
  });

  it('the first login with an API key records its token, in two round trips; later ones wait for one', async () => {
    await post('/login', loginOf(oauth));
    await post(`/${ENDPOINT}/login`, loginOf(oauth));
    expect(await roundTrips(path, keyLoginOf(key))).toBe(2);
    expect(await roundTrips(path, keyLoginOf(key))).toBe(1);
  });

  it('an introspection waits for one round trip, for each token and caller', async () => {
    const { access, refresh } = await tokensOf(path);
    await post('/oauth/introspect', { token: access, ...secretsOf(oauth) });
    for (const token of [access, refresh]) {
      for (const caller of [secretsOf(oauth), { authorization: `Bearer ${managementToken}` }]) {
        expect(await roundTrips('/oauth/introspect', { token, ...caller })).toBe(1);
        expect(await post('/oauth/introspect', { token, ...caller })).toMatchObject({ active: true });
      }
    }
  });

  it('a revocation waits for two round trips: the reads, and the append', async () => {
    for (const name of ['access', 'refresh'] as const) {
      const { [name]: token } = await tokensOf(path);
      expect(await roundTrips('/oauth/revoke', { token, ...secretsOf(oauth) })).toBe(2);
      expect(await post('/oauth/introspect', { token, ...secretsOf(oauth) })).toEqual({ active: false });
    }
  });
});

describe('a gateway’s check', () => {
  const checked = async (token: string) => {
    const rawHeaders = ['x-gateway-secret', GATEWAY_SECRET, 'x-endpoint-uri', ENDPOINT, 'authorization'];
    return (await check.check({ rawHeaders: [...rawHeaders, `Bearer ${token}`], target: '/gateway/check' })).code;
  };

  it('that reads the log waits for one round trip', async () => {
    const { access } = await tokensOf(`/${ENDPOINT}/login`);
    expect(await checked(access)).toBe('GOOD');
    expect(await distant.roundTrips(() => checked(access))).toBe(1);
  });

  it('of a new token of a known client waits for none while the directory is current', async () => {
    const stop = new AbortController();
    const running = directory.run(stop.signal);
    while (!directory.isCurrent()) await turn();
    const [first, second] = [await tokensOf(`/${ENDPOINT}/login`), await tokensOf(`/${ENDPOINT}/login`)];
    expect(await checked(first.access)).toBe('GOOD');
    expect(await distant.roundTrips(() => checked(second.access))).toBe(0);
    expect(await checked('not.a.token')).toBe('NOT_A_TOKEN');
    stop.abort();
    await running;
  });
});

describe('reads that begin together', () => {
  const loggedIn = () => post(`/${ENDPOINT}/login`, loginOf(oauth));

  it('see what another node has acknowledged before: an ended subscription is refused', async () => {
    await loggedIn();
    const end = { type: 'EndSubscription', workspaceId: WORKSPACE, reason: 'Over', at: now() } as const;
    await office.subscriptions.execute(SUBSCRIPTION, end, by());
    await expect(loggedIn()).rejects.toThrow('unauthorized_client');
  });

  it('follow an endpoint URI to its new owner, although the former owner was remembered', async () => {
    await office.endpointUris.execute(ENDPOINT, claimBy('sub_never_registered', '2999-01-01T00:00:00.000Z'), by());
    await expect(loggedIn()).rejects.toThrow('unauthorized_client');
    await office.endpointUris.execute(ENDPOINT, claimBy('sub_new', '2999-01-02T00:00:00.000Z'), by());
    await office.subscriptions.execute('sub_new', registrationOf('sub_new'), by());
    await assign(oauth.clientId, 'sub_new');
    expect(await loggedIn()).toMatchObject({ token_type: 'Bearer' });
  });

  it('are not begun for a made-up secret', async () => {
    const madeUp = { grant_type: 'client_credentials', ...secretsOf(oauth), client_secret: 'ccs_made-up' };
    expect(await distant.roundTrips(() => expect(post(`/${ENDPOINT}/login`, madeUp)).rejects.toThrow('401'))).toBe(0);
  });
});
