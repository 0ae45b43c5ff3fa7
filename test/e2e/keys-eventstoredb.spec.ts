import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import { basicOf, clientOfKey, introspect, refresh, refreshTokenOf } from '../support/api/oauth.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

let eventStore: EventStore;
let dataDir: string;
let nodes: [Standalone, Standalone];
let env: Readonly<Record<string, string>>;
let oauth: NewClient;
let keyed: NewClient;

const start = (more: Readonly<Record<string, string>> = {}) =>
  Standalone.startReady({ dataDir, env: { ...env, ...more } });

beforeEach(async () => {
  eventStore = await startEventStore();
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  env = { EVENTSTOREDB_URL: eventStore.url, PUBLIC_URL: 'http://127.0.0.1:3000' };
  nodes = [await start(), await start()]; // The first node creates the master key.
  const portal = Portal.of(nodes[0]);
  oauth = await portal.newClient('OAUTH2');
  keyed = await portal.newClient('API_KEY');
});

afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await eventStore.stop();
  rmSync(dataDir, { recursive: true });
});

const operate = async (parameters: readonly string[], more: Readonly<Record<string, string>> = {}) => {
  const { code, stdout, stderr } = await Cli.run(parameters, { ...env, DATA_DIR: dataDir, ...more });
  if (code !== 0) throw new Error(stderr);
  return stdout.split('\n').slice(0, -1);
};
const staticTokens = () =>
  Promise.all(nodes.map(async ({ url }) => (await apiKeyLogin(url, keyed.secret)).body.access_token));
/** Introspects the token at each node. Resolves to one value per node: whether the token is active. */
const isActive = (token: string, { clientId, secret, authenticationType }: NewClient) => {
  const caller = authenticationType === 'API_KEY' ? clientOfKey(secret) : { clientId, secret };
  return Promise.all(nodes.map(async ({ url }) => (await introspect(url, token, basicOf(caller))).body.active));
};
const GOOD = [true, true];
const REFUSED = [false, false];

describe('two nodes on EventStoreDB', () => {
  test('give an API key one static token, even if its first logins come to both nodes at once', async () => {
    const portal = Portal.of(nodes[0]);
    for (let round = 0; round < 10; round++) {
      keyed = await portal.newClient('API_KEY');
      const tokens = (await Promise.all([staticTokens(), staticTokens(), staticTokens()])).flat();
      expect(new Set(tokens).size).toBe(1);
      const history = await portal.wholeHistory(keyed.clientId, await portal.readNow());
      expect(history.map(({ type }) => type)).toEqual(['ConsumerClientCreated', 'ConsumerClientStaticTokenIssued']);
    }
  });

  test('refuse at once every token that a compromised key has signed, and sign with another key', async () => {
    const { access_token: access } = (await oauthLogin(nodes[0].url, oauth)).body;
    const [fixed = ''] = await staticTokens();
    expect([await isActive(access, oauth), await isActive(fixed, keyed)]).toEqual([GOOD, GOOD]);
    const [kid = ''] = (await operate(['keys', 'list']))[1]?.split(/\s+/) ?? [];
    await operate(['keys', 'compromise', kid]);
    expect([await isActive(access, oauth), await isActive(fixed, keyed)]).toEqual([REFUSED, REFUSED]);
    const [renewed = '', other] = await staticTokens();
    expect(renewed).not.toBe(fixed);
    expect(other).toBe(renewed);
    expect(await isActive(renewed, keyed)).toEqual(GOOD);
  });

  test('refuse at once every token that was issued before all tokens were ended', async () => {
    const [here, there] = nodes;
    const login = await oauthLogin(here.url, oauth);
    const [fixed = ''] = await staticTokens();
    expect(await operate(['tokens', 'end', '--all', '--yes'])).toEqual(['2 clients, 2 ended']);
    expect(await isActive(login.body.access_token, oauth)).toEqual(REFUSED);
    expect(await isActive(fixed, keyed)).toEqual(REFUSED);
    expect((await refresh(there.url, oauth, refreshTokenOf(login))).status).toBe(400);
    const { access_token: renewed } = (await oauthLogin(there.url, oauth)).body;
    expect(await isActive(renewed, oauth)).toEqual(GOOD);
    expect(await isActive((await staticTokens())[1] ?? '', keyed)).toEqual(GOOD);
  });

  test('change their master key, and every token stays good', async () => {
    const [fixed = ''] = await staticTokens();
    const file = join(dataDir, 'master.key');
    const both = { MASTER_KEY_PREVIOUS: readFileSync(file, 'utf8').trim() };
    await Promise.all(nodes.map((node) => node.stop()));
    writeFileSync(file, randomBytes(32).toString('base64'));
    nodes = [await start(both), await start(both)];
    expect(await staticTokens()).toEqual([fixed, fixed]);
    expect(await operate(['master-key', 'rotate'], both)).toEqual(['Wrapped anew: 1 signing key']);
    expect(await staticTokens()).toEqual([fixed, fixed]);
    const portal = Portal.of(nodes[0]);
    for (const { clientId } of [oauth, keyed]) await portal.revoke(clientId);
    await Promise.all(nodes.map((node) => node.stop()));
    nodes = [await start(), await start()]; // The restarted nodes no longer know the former master key.
    keyed = await Portal.of(nodes[1]).newClient('API_KEY');
    const [another, same] = await staticTokens();
    expect(same).toBe(another);
  });
});
