import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader, type JSONWebKeySet } from 'jose';
import { GatewayDouble } from '../support/api/gateway.js';
import { eventually, send } from '../support/api/http.js';
import { apiKeyLogin, oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { basicOf, clientOfKey, introspect, refresh, refreshTokenOf } from '../support/api/oauth.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { ProgramClock } from '../support/doubles/program-clock.js';
import { eventsIn, withEventLog } from '../support/events/audit.js';
import { Cli } from '../support/processes/cli.js';
import { eventTypesOf } from '../support/processes/data-dir.js';
import { Standalone } from '../support/processes/standalone.js';

const YEAR = 31_536_000;

let clock: ProgramClock;
let dataDir: string;
let here: Standalone;
let there: Standalone;
let portal: Portal;
/** Two clients of the portal, one of each authentication type. */
let oauth: NewClient;
let keyed: NewClient;

const start = (env: Readonly<Record<string, string>> = {}) =>
  Standalone.startReady({ dataDir, env: { ...clock.env, PUBLIC_URL: 'http://127.0.0.1:3000', ...env } });

const begin = async () => {
  clock = new ProgramClock();
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  here = await start();
  there = await start();
  portal = Portal.of(here);
  await portal.register('weather');
  oauth = await portal.newClient('OAUTH2');
  keyed = await portal.newClient('API_KEY');
  for (const { clientId } of [oauth, keyed]) await portal.assign(clientId, 'weather');
};
const end = async () => {
  await stopNodes();
  clock.remove();
  rmSync(dataDir, { recursive: true });
};
const freshNodesForEachTest = () => {
  beforeEach(begin);
  afterEach(end);
};
const sameNodesForAllTests = () => {
  beforeAll(begin);
  afterAll(end);
};

const nodes = () => [here, there];
const stopNodes = () => Promise.all(nodes().map((node) => node.stop()));
/** Runs an operator's command. Resolves to the command's exit code and output. */
const operateWith = async (env: Readonly<Record<string, string>>, ...parameters: string[]) => {
  const { code, stdout, stderr } = await Cli.run(parameters, { ...clock.env, DATA_DIR: dataDir, ...env });
  return { code, lines: stdout.split('\n').slice(0, -1), stderr: stderr.trim() };
};
const operate = (...parameters: string[]) => operateWith({}, ...parameters);
/** Resolves to the `kid` and the status of each signing key, in the order in which `keys list` prints the keys. */
const keys = async () => {
  const { lines } = await operate('keys', 'list');
  expect(lines[0]).toMatch(/^KID +ALG +STATUS +SINCE$/);
  return lines.slice(1).map((line) => {
    const [kid = '', , status = ''] = line.split(/\s+/);
    return { kid, status };
  });
};
const statuses = async () => (await keys()).map(({ status }) => status);
const publicKids = async ({ url }: Standalone = there) =>
  (await send<JSONWebKeySet>('GET', url, '/.well-known/jwks.json')).body.keys.map(({ kid }) => kid);
const kidOf = (token: string) => decodeProtectedHeader(token).kid;

const oauthToken = async ({ url }: Standalone = here, client = oauth) =>
  (await oauthLogin(url, client)).body.access_token;
const staticToken = async ({ url }: Standalone = here, client = keyed) =>
  (await apiKeyLogin(url, client.secret)).body.access_token;
/**
 * Introspects the token at each node, and asks each node for a gateway check of the token. Resolves to one text per
 * node, with both verdicts.
 */
const verdicts = async (token: string, client: NewClient) => {
  const caller = client.authenticationType === 'API_KEY' ? clientOfKey(client.secret) : client;
  return Promise.all(
    nodes().map(async (node) => {
      const { active } = (await introspect(node.url, token, basicOf(caller))).body;
      const check = await new GatewayDouble(node).check({ endpoint: 'weather', token });
      return `${active ? 'active' : 'inactive'}, ${check.header('x-auth-code')}`;
    }),
  );
};
const GOOD = ['active, GOOD', 'active, GOOD'];
const COMPROMISED = ['inactive, SIGNING_KEY_COMPROMISED', 'inactive, SIGNING_KEY_COMPROMISED'];
const REVOKED = ['inactive, TOKEN_REVOKED', 'inactive, TOKEN_REVOKED'];

describe('rotating the signing key', () => {
  freshNodesForEachTest();

  test('publishes the next key at once, which starts to sign by itself after twice the JWKS’s max-age', async () => {
    const before = await oauthToken();
    const { lines, code } = await operate('keys', 'rotate');
    expect(code).toBe(0);
    expect(lines.slice(1)).toEqual([expect.stringMatching(/^\S+ {2}EdDSA {2}PUBLISHED .* signs from /)]);
    expect((await operate('keys', 'rotate')).lines).toEqual(lines);
    const [former, next] = await keys();
    expect(await statuses()).toEqual(['SIGNING', 'PUBLISHED']);
    expect(await publicKids()).toEqual([former?.kid, next?.kid]);
    expect(kidOf(before)).toBe(former?.kid);
    expect(kidOf(await oauthToken(there))).toBe(former?.kid);

    clock.set(601);
    await eventually(
      async () => kidOf(await oauthToken(there)),
      (kid) => kid === next?.kid,
    );
    expect(await statuses()).toEqual(['RETIRED', 'SIGNING']);
  });

  test('leaves static tokens good and unchanged, and publishes their key until the last of them has ended', async () => {
    const token = await staticToken();
    await operate('keys', 'rotate');
    clock.set(601);
    await eventually(
      () => statuses(),
      ([first]) => first === 'RETIRED',
    );
    expect(await staticToken(there)).toBe(token);
    expect(await verdicts(token, keyed)).toEqual(GOOD);
    expect(await publicKids()).toHaveLength(2);
    clock.set(600 + YEAR + 240);
    expect(await publicKids()).toHaveLength(2);
    clock.set(601 + YEAR + 360);
    expect(await publicKids()).toHaveLength(1);
  });

  test('may choose another algorithm for the next key', async () => {
    const { lines } = await operateWith({ TOKEN_ALG: 'RS256' }, 'keys', 'rotate');
    expect(lines.slice(1)).toEqual([expect.stringContaining('RS256  PUBLISHED')]);
    clock.set(601);
    const token = await eventually(
      () => oauthToken(),
      (signed) => decodeProtectedHeader(signed).alg === 'RS256',
    );
    expect(await verdicts(token, oauth)).toEqual(GOOD);
  });
});

describe('a compromised signing key', () => {
  sameNodesForAllTests();

  test('must be a known key', async () => {
    const { code, stderr } = await operate('keys', 'compromise', 'unknown');
    expect({ code, stderr }).toEqual({ code: 4, stderr: 'No such signing key' });
    expect(await statuses()).toEqual(['SIGNING']);
  });

  test('is refused on every node at once with every token that it signed, and logins go on with another key', async () => {
    const tokens = [await oauthToken(), await staticToken()];
    const clients = [oauth, keyed];
    for (const [index, token] of tokens.entries()) expect(await verdicts(token, clients[index] ?? oauth)).toEqual(GOOD);
    const [{ kid } = { kid: '' }] = await keys();
    const why = ['--reason', 'Found in a public repository', '--subject', 'olga'];
    const { lines, code } = await operate('keys', 'compromise', kid, ...why);
    expect({ code, lines: lines.length }).toEqual({ code: 0, lines: 3 });
    for (const [index, token] of tokens.entries()) {
      expect(await verdicts(token, clients[index] ?? oauth)).toEqual(COMPROMISED);
    }
    expect(await statuses()).toEqual(['COMPROMISED', 'SIGNING']);
    const [, next] = await keys();
    for (const node of nodes()) expect(await publicKids(node)).toEqual([next?.kid]);
    const acts = await withEventLog(dataDir, (log) => log.readStream('operatorActs', { consistency: 'strong' }));
    expect(acts).toMatchObject([
      {
        data: { operation: 'COMPROMISE', kids: [kid, next?.kid], reason: 'Found in a public repository' },
        metadata: { actor: { subject: 'olga', via: 'cli' } },
      },
    ]);
    const renewed = await staticToken(there);
    expect(renewed).not.toBe(tokens[1]);
    expect(await staticToken(here)).toBe(renewed);
    expect(await verdicts(renewed, keyed)).toEqual(GOOD);
    expect(await verdicts(await oauthToken(), oauth)).toEqual(GOOD);
  });
});

describe('replacing the master key', () => {
  freshNodesForEachTest();

  const masterKeyFile = () => join(dataDir, 'master.key');

  test('takes the former key out of use step by step, and every token stays good', async () => {
    const token = await staticToken();
    const former = readFileSync(masterKeyFile(), 'utf8').trim();
    await stopNodes();
    writeFileSync(masterKeyFile(), randomBytes(32).toString('base64'));
    const both = { MASTER_KEY_PREVIOUS: former };
    const withBoth = async (...parameters: string[]) => (await operateWith(both, ...parameters)).lines;
    const usage = async () =>
      (await withBoth('master-key', 'usage')).slice(1).map((line) => line.split(/\s+/).slice(1).join(' '));
    [here, there] = [await start(both), await start(both)];
    portal = Portal.of(here);

    expect(await usage()).toEqual(['current 0 0', 'previous 2 1']);
    expect(await withBoth('master-key', 'rotate')).toEqual(['Wrapped anew: 1 signing key']);
    expect(await withBoth('master-key', 'rotate')).toEqual(['Wrapped anew: 0 signing keys']);
    await portal.rotate(oauth.clientId, { overlapSeconds: 60 });
    await portal.revoke(keyed.clientId);
    expect(await usage()).toEqual(['current 1 1', 'previous 1 0']);
    clock.set(61);
    expect(await usage()).toEqual(['current 1 1']);

    expect(kidOf(token)).toBe(kidOf(await staticToken(there, await portal.newClient('API_KEY'))));
    await stopNodes();
    [here, there] = [await start(), await start()];
    expect(kidOf(token)).toBe(kidOf(await staticToken(there, await Portal.of(here).newClient('API_KEY'))));
  });

  test('goes on at events that the command line does not know, and says which these are', async () => {
    await withEventLog(dataDir, async (log) => {
      const stream = `consumerClient-${oauth.clientId}`;
      const [last] = await log.readStream(stream, { direction: 'backwards', limit: 1 });
      const [key] = await log.readStream('signingKeys', { direction: 'backwards', limit: 1 });
      if (!last || !key) throw new Error('The log is empty');
      const unknown = { ...last, type: 'ConsumerClientSuspended', data: { until: 'a secret time' } };
      await log.append(stream, last.revision, [{ ...unknown, eventId: randomUUID() }]);
      const shown = async () => {
        const { code, lines, stderr } = await operate('master-key', 'usage');
        return {
          code,
          lines: lines.slice(1).map((line) => line.split(/\s+/).slice(1).join(' ')),
          stderr: stderr.split('\n').slice(0, -1),
        };
      };
      expect(await shown()).toEqual({
        code: 5,
        lines: ['current 2 1'],
        stderr: ['Not understood: ConsumerClientSuspended version 1 (1 event)'],
      });
      const metadata = { ...key.metadata, schemaVersion: 99 };
      await log.append('signingKeys', key.revision, [{ ...key, eventId: randomUUID(), metadata }]);
      expect(await shown()).toMatchObject({
        lines: ['current 2 ?'],
        stderr: [expect.anything(), `Not understood: ${key.type} version 99 (1 event)`],
      });
    });
  });

  test('is refused if the former key is not given', async () => {
    await stopNodes();
    writeFileSync(masterKeyFile(), randomBytes(32).toString('base64'));
    const { code, stderr } = await operate('master-key', 'rotate');
    expect(code).toBe(78);
    expect(stderr).toContain('MASTER_KEY is not the key');
  });
});

describe('ending all tokens', () => {
  sameNodesForAllTests();

  test('of a workspace or of all workspaces can be interrupted: the next run continues, and does nothing twice', async () => {
    const other = Portal.of(here, { workspaceId: 'globex' });
    const stranger = await other.newClient('OAUTH2');
    const [mine, theirs] = [await oauthToken(), await oauthToken(there, stranger)];
    const cutShort = await operate('tokens', 'end', '--workspace', 'acme');
    expect(cutShort.lines).toEqual(['2 clients, 1 ended']);
    const isActive = async (token: string, client: NewClient) =>
      (await introspect(there.url, token, basicOf(client))).body.active;
    expect([await isActive(mine, oauth), await isActive(theirs, stranger)]).toEqual([false, true]);
    const [, run = ''] = /--run (\S+)/.exec(cutShort.stderr) ?? [];
    const goOn = async () => (await operate('tokens', 'end', '--all', '--yes', '--run', run)).lines;
    expect(await goOn()).toEqual(['3 clients, 1 ended']);
    expect(await isActive(theirs, stranger)).toBe(false);
    expect(await goOn()).toEqual(['3 clients, 0 ended']);
    const types = await eventTypesOf(dataDir, `consumerClient-${oauth.clientId}`);
    expect(types.filter((type) => type === 'ConsumerClientTokensEnded')).toHaveLength(1);
  });

  test('of a client ends access, refresh and static tokens on every node; new ones are good at once', async () => {
    const login = await oauthLogin(here.url, oauth);
    const tokens = { access: login.body.access_token, fixed: await staticToken() };
    expect(await verdicts(tokens.access, oauth)).toEqual(GOOD);
    const { lines } = await operate('tokens', 'end', '--client', oauth.clientId, '--subject', 'jane');
    expect(lines).toEqual(['1 client, 1 ended']);
    expect(await verdicts(tokens.access, oauth)).toEqual(REVOKED);
    const refreshed = await refresh(there.url, oauth, refreshTokenOf(login));
    expect(oauthErrorOf(refreshed)).toMatchObject({ status: 400, error: 'invalid_grant' });
    const renewed = await oauthLogin(there.url, oauth);
    expect(await verdicts(renewed.body.access_token, oauth)).toEqual(GOOD);
    expect((await refresh(here.url, oauth, refreshTokenOf(renewed))).status).toBe(200);

    expect(await verdicts(tokens.fixed, keyed)).toEqual(GOOD);
    await operate('tokens', 'end', '--client', keyed.clientId);
    expect(await verdicts(tokens.fixed, keyed)).toEqual(REVOKED);
    const fixed = await staticToken(there);
    expect(fixed).not.toBe(tokens.fixed);
    expect(await verdicts(fixed, keyed)).toEqual(GOOD);

    const history = await portal.wholeHistory(oauth.clientId, await portal.readNow());
    expect(history.at(-1)).toMatchObject({
      ...{ type: 'ConsumerClientTokensEnded', workspaceId: 'acme' },
      actor: { subject: 'jane', via: 'cli' },
    });
  });

  test('of a workspace without clients is a failure', async () => {
    const { code, lines, stderr } = await operate('tokens', 'end', '--workspace', 'acmee');
    expect([code, lines]).toEqual([4, []]);
    expect(stderr).toContain('No client is of workspace acmee');
  });

  test('of all clients is done only if it is confirmed', async () => {
    const before = await eventTypesOf(dataDir, `consumerClient-${oauth.clientId}`);
    const { code, lines, stderr } = await operate('tokens', 'end', '--all');
    expect([code, lines, stderr]).toEqual([6, [], expect.stringContaining('--yes')]);
    expect(await eventTypesOf(dataDir, `consumerClient-${oauth.clientId}`)).toEqual(before);
  });

  test('needs to know whose tokens', async () => {
    for (const wrong of [[], ['--client', 'nobody'], ['--all', '--workspace', 'acme']]) {
      expect((await operate('tokens', 'end', ...wrong)).code).toBe(64);
    }
    const { code, stderr } = await operate('tokens', 'end', '--client', 'cc_0123456789abcdefghijkl');
    expect({ code, stderr }).toEqual({ code: 4, stderr: expect.stringContaining('There is no client') as string });
  });
});

describe('the command line', () => {
  sameNodesForAllTests();

  test('creates no event log: before the first start, or with the wrong directory, it creates nothing', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
    try {
      for (const command of [
        ['keys', 'list'],
        ['master-key', 'usage'],
        ['tokens', 'end', '--all', '--yes'],
        ['projections', 'compare', 'clients'],
      ]) {
        const { code, stderr } = await operateWith({ DATA_DIR: empty, MASTER_KEY: 'A'.repeat(43) + '=' }, ...command);
        expect([command, code, stderr]).toEqual([command, 78, expect.stringContaining('DATA_DIR has no event log')]);
      }
      expect(readdirSync(empty)).toEqual([]);
      const service = await Standalone.startReady({ dataDir: empty });
      await service.stop();
    } finally {
      rmSync(empty, { recursive: true });
    }
  });

  test('prints no key, verifier or wrapped key', async () => {
    const printed: string[] = [];
    for (const command of [
      ['keys', 'list'],
      ['keys', 'rotate'],
      ['keys', 'compromise', (await publicKids())[0] ?? ''],
      ['master-key', 'usage'],
      ['tokens', 'end', '--all', '--yes'],
    ]) {
      const { code, lines, stderr } = await operate(...command);
      expect({ command, code }).toEqual({ command, code: 0 });
      printed.push(...lines, stderr);
    }
    const events = await eventsIn(dataDir);
    const stored: unknown[] = events.flatMap(({ data: { verifier, wrappedKey, publicJwk } }) => [
      ...[verifier, wrappedKey],
      ...Object.values((publicJwk ?? {}) as Record<string, unknown>),
    ]);
    const secrets = [readFileSync(join(dataDir, 'master.key'), 'utf8').trim(), ...stored].filter(
      (secret): secret is string => typeof secret === 'string' && secret.length > 20,
    );
    expect(secrets.length).toBeGreaterThan(3);
    for (const secret of secrets) expect(printed.join('\n')).not.toContain(secret);
  });
});
