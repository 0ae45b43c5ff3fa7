import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWithMongo, describeWithOwnMongo } from '../servers/mongodb/mongo-server.js';
import { eventually } from '../support/api/http.js';
import { Issuer } from '../support/api/issuer.js';
import { oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { refresh, refreshTokenOf } from '../support/api/oauth.js';
import { type AccessReviewManifest, type Headers, Portal, type Query, readAfter } from '../support/api/portal.js';
import { ProgramClock } from '../support/doubles/program-clock.js';
import { idleMs } from '../support/load/load-meter.js';
import { Cli } from '../support/processes/cli.js';
import { processSecrets } from '../support/processes/process-secrets.js';
import { type Environment, Program } from '../support/processes/program.js';
import { PROJECTIONS } from '../support/processes/projections.js';
import { type Readiness, Service, type ServiceName } from '../support/processes/service.js';
import { ProductionPair, sqlitePair, type StorePair } from '../support/processes/store-pair.js';

const AT_WORK = 'projection_at_work{projection="clients"}';

let issuer: Issuer;
let env: Environment;
let running: Service[];

/** Sets the environment variables of the processes: the given stores, the secrets and the issuer. */
async function setEnvironment(pair: StorePair): Promise<void> {
  issuer = await Issuer.start();
  env = { ...pair.env, ...issuer.env, ...processSecrets() };
  running = [];
}

async function stopAll(): Promise<void> {
  await Promise.all(running.map((service) => service.stop()));
  await issuer.close();
}

async function start(name: ServiceName): Promise<Service> {
  const service = await Service.start(name, env);
  running.push(service);
  return service;
}

async function startReady(name: ServiceName): Promise<Service> {
  const service = await start(name);
  await service.ready();
  return service;
}

const startAll = () => Promise.all([start('management'), start('auth'), start('projector')]);
const portalOf = async ({ url }: Service) => new Portal(url, await issuer.token('acme'));
const isAtWork = async (projector: Service) => (await projector.metric(AT_WORK)) === 1;

/** Resolves to the HTTP status of the readiness check, and to the names of the checks that are down. */
async function missing(service: Service): Promise<[status: number, down: string[]]> {
  const { status, text } = await service.readiness();
  const { checks } = JSON.parse(text) as Readiness;
  return [status, Object.keys(checks).filter((name) => checks[name] === 'down')];
}

/** Returns how many times the pattern occurs in the output of the process. */
const logged = ({ output }: Service, pattern: RegExp): number => output().match(new RegExp(pattern, 'g'))?.length ?? 0;

function processes(createPair: () => Promise<StorePair>): void {
  let pair: StorePair;

  const begin = async () => {
    pair = await createPair();
    await setEnvironment(pair);
  };
  const end = async () => {
    await stopAll();
    await pair.remove();
  };

  describe('whose stores are there', () => {
    let commands: Service;
    let queries: Service;
    let auth: Service;
    /** The projector that works at the end of the test before. */
    let projector: Service;

    beforeAll(async () => {
      await begin();
      await pair.arrive();
      [commands, queries, auth, projector] = await Promise.all([
        start('management'),
        start('management'),
        start('auth'),
        start('projector'),
      ]);
      await Promise.all(running.map((service) => service.ready()));
    });
    afterAll(end);

    it('let a portal read its own writes at another process, and a client log in at a third', async () => {
      const [writer, reader] = [await portalOf(commands), await portalOf(queries)];

      await writer.register('sub_weather', { endpointUri: 'weather' });
      const client = await writer.newClient();
      for (let n = 0; n < 20; n++) {
        const renamed = await writer.rename(client.clientId, `Importer ${n}`);
        expect((await reader.get(client.clientId, readAfter(renamed))).body.name).toBe(`Importer ${n}`);
      }
      await writer.assign(client.clientId, 'sub_weather');
      expect((await oauthLogin(auth.url, client, 'weather')).body.token_type).toBe('Bearer');

      // The process manager unassigns the client. The process manager runs in the projector's process.
      const ended = await writer.end('sub_weather', 'contract over');
      const unassigned = await eventually(
        async () => (await reader.get(client.clientId, readAfter(ended))).body,
        ({ subscriptions }) => subscriptions.length === 0,
      );
      expect(unassigned.status).toBe('ACTIVE');

      const revoked = await writer.revoke(client.clientId);
      expect((await oauthLogin(auth.url, client)).status).toBe(401);
      const list = await reader.list({ status: 'revoked' }, readAfter(revoked));
      expect(list.body.items.map(({ clientId }) => clientId)).toEqual([client.clientId]);
    });

    it('show an auditor the past, and prove it, at another process than the one that carried the commands out', async () => {
      const [writer, auditor] = [await portalOf(commands), await portalOf(queries)];
      await writer.register('sub_tides', { endpointUri: 'tides' });
      const { clientId, ...client } = await writer.newClient('OAUTH2', 'Audited');
      const assigned = await writer.assign(clientId, 'sub_tides');
      const login = await oauthLogin(auth.url, { clientId, ...client }, 'tides');
      const then = new Date().toISOString();
      await eventually(
        () => Promise.resolve(new Date().toISOString()),
        (now) => now > then,
      );
      const revoked = await writer.revoke(clientId, 'Audited enough');
      const [from, to] = [assigned, revoked].map((answer) => answer.header('x-consistency-token').split('@')[1] ?? '');

      const stateOf = async (query: Query) => (await auditor.state(clientId, query)).body;
      const wasActive = {
        client: { status: 'ACTIVE' },
        subscriptions: [{ status: 'LIVE', wouldLogIn: { yes: true } }],
      };
      for (const query of [{ at: then }, { position: from ?? '' }, { revision: 1 }]) {
        expect(await stateOf(query)).toMatchObject(wasActive);
      }
      for (const query of [{}, { position: to ?? '' }, { revision: 2 }]) {
        expect(await stateOf(query)).toMatchObject({
          client: { status: 'REVOKED' },
          wouldLogIn: { reason: 'REVOKED' },
        });
      }
      const { items } = (await auditor.events({ client: clientId, from: '2026-01-01T00:00:00Z' }, readAfter(revoked)))
        .body;
      expect(items.map(({ event }) => event.type.replace('ConsumerClient', ''))).toEqual([
        ...['Created', 'AssignedToSubscription', 'Revoked'],
      ]);
      expect(items.at(-1)?.position).toBe(to);
      expect((await auditor.diff({ from: from ?? '', to: to ?? '' })).body.items).toMatchObject([
        {
          stream: `consumerClient-${clientId}`,
          changes: expect.arrayContaining([{ change: 'REVOKED', after: 'Audited enough' }]) as unknown,
        },
      ]);
      const callers = async (at?: string) =>
        (await auditor.couldCall({ endpointUri: 'tides', ...(at !== undefined && { at }) })).body.items;
      expect([(await callers(then)).map((caller) => caller.clientId), await callers()]).toEqual([[clientId], []]);
      const statusOf = async (at?: string) => (await auditor.tokenStatus(login.body.access_token, at)).body;
      expect(await statusOf(then)).toMatchObject({ good: true, kind: 'ACCESS_TOKEN' });
      expect(await statusOf()).toMatchObject({ good: false, reason: 'CLIENT_NOT_ACTIVE' });
      const { text } = await auditor.accessReview({ at: then, format: 'ndjson' });
      const rows = text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(rows.find((row) => row.clientId === clientId)).toMatchObject({
        subscriptionId: 'sub_tides',
        reason: 'OK',
      });
      const manifest = (await auditor.accessReview<AccessReviewManifest>({ at: then, format: 'manifest' })).body;
      expect(manifest).toMatchObject({ rows: rows.length, unreadableRows: 0 });
      expect(manifest.files[1]?.sha256).toBe(createHash('sha256').update(text).digest('hex'));

      const directory = mkdtempSync(join(tmpdir(), 'evidence-'));
      const bundle = join(directory, 'evidence.json');
      const token = { AUDIT_TOKEN: auditor.token };
      expect(await Cli.run(['evidence', clientId, '--file', bundle, '--url', queries.url], token)).toMatchObject({
        code: 0,
      });
      const [, key = ''] = /^log (\S+)$/m.exec((await auditor.send('GET', '/v1/log/policy')).text) ?? [];
      const verified = await Cli.run(['verify', bundle, '--key', key, '--client', clientId], {});
      rmSync(directory, { recursive: true });
      expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining('events: 3 of') as string });
    });

    it('answer 503 with Retry-After rather than stale data, while no projector works', async () => {
      const portal = await portalOf(commands);
      const created = await portal.create({ name: 'Before' });
      const { clientId } = created.body.client;
      expect((await portal.get(clientId, readAfter(created))).body.name).toBe('Before');

      await projector.kill();
      const renamed = await portal.rename(clientId, 'After');
      const refused = await portal.get(clientId, readAfter(renamed));
      expect(refused.refusal).toBe('503 READ_MODEL_BEHIND');
      expect(refused.header('retry-after')).toBe('1');
      expect((await portal.get(clientId)).body.name).toBe('Before');

      projector = await start('projector');
      const read = await eventually(
        () => portal.get(clientId, readAfter(renamed)),
        ({ status }) => status !== 503,
      );
      expect(read.body.name).toBe('After');
    });

    it('have one working projector, and another takes over within 5 s of its kill -9', async () => {
      const first = projector;
      await eventually(() => isAtWork(first), Boolean);
      const second = (projector = await startReady('projector'));
      const portal = await portalOf(commands);
      const client = await portal.newClient();
      await portal.get(client.clientId, readAfter(await portal.rename(client.clientId, 'Known')));
      expect([await isAtWork(first), await isAtWork(second)]).toEqual([true, false]);

      await first.kill();
      const takeOver = async () => {
        const renamed = await portal.rename(client.clientId, 'Taken over');
        const { body } = await eventually(
          () => portal.get(client.clientId, readAfter(renamed)),
          ({ status }) => status !== 503,
        );
        expect(body.name).toBe('Taken over');
      };
      expect(await idleMs(takeOver)).toBeLessThan(5_000);
      expect(await isAtWork(second)).toBe(true);
    });

    it('stop when their master key is not the log’s, naming the variable', async () => {
      const other = { ...env, MASTER_KEY: randomBytes(32).toString('base64') };
      const ended = (['management', 'auth'] as const).map((name) => Program.runToEnd(name, { env: other }));
      for (const { code, output } of await Promise.all(ended)) {
        expect(code).toBe(1);
        expect(output).toContain('MASTER_KEY is not the key');
      }
    });
  });

  describe('that begin without their stores', () => {
    beforeEach(begin);
    afterEach(end);

    it('are live while the stores are missing, name them, log it once, work when the stores come, and exit with 0', async () => {
      const [management, auth, projector] = await startAll();
      const readModels = ['clients', 'history', 'subscriptions', 'usage'].map((name) => `read model ${name}`);
      const projections = PROJECTIONS.map((name) => `projection ${name}`);
      expect(await missing(management)).toEqual([503, ['event log', 'read store', ...readModels]]);
      expect(await missing(auth)).toEqual([503, ['event log']]);
      expect(await missing(projector)).toEqual([503, ['event log', 'read store', ...projections]]);
      const portal = await portalOf(management);
      expect((await portal.create()).refusal).toBe('503 LOG_UNAVAILABLE');
      expect((await portal.list()).refusal).toBe('503 READ_STORE_UNAVAILABLE');
      const waits = () =>
        [/the event log can’t be used/, /the read store can’t be used/, /readiness check failed/].map((line) =>
          logged(management, line),
        );
      await eventually(
        () => Promise.resolve(waits()),
        ([log, store]) => log === 1 && store === 1,
      );

      await pair.arrive();
      await Promise.all([management, auth, projector].map((service) => service.ready()));
      const client = await portal.newClient();
      expect((await oauthLogin(auth.url, client)).status).toBe(200);
      await eventually(
        () => Promise.resolve(logged(management, /the (event log|read store) can be used again/)),
        (lines) => lines === 2,
      );
      expect(waits()).toEqual([1, 1, 0]);
      expect(await Promise.all([management, auth, projector].map((service) => service.stop()))).toEqual([0, 0, 0]);
    });

    it('exit with 0 on SIGTERM while they wait for their stores', async () => {
      const waiting = await startAll();
      expect(await Promise.all(waiting.map((service) => service.stop()))).toEqual([0, 0, 0]);
    });
  });
}

describe('management, auth and projector, each in its own process, on SQLite files of one directory', () => {
  processes(sqlitePair);

  it('warn once each that only processes with the same DATA_DIR see what they write', async () => {
    const pair = await sqlitePair();
    await setEnvironment(pair);
    try {
      for (const [service, stores] of [
        [await start('management'), 'event log and read store'],
        [await start('auth'), 'event log'],
      ] as const) {
        await service.printed(`use its ${stores}: no other one sees what this one writes`);
        expect(logged(service, /only processes on this machine with DATA_DIR=/)).toBe(1);
      }
    } finally {
      await stopAll();
      await pair.remove();
    }
  });
});

describeWithMongo('management, auth and projector, each in its own process, on EventStoreDB and MongoDB', () => {
  processes(() => ProductionPair.create());
});

describeWithOwnMongo('a production store that goes away', () => {
  let pair: ProductionPair;

  beforeEach(async () => {
    pair = await ProductionPair.create({ killsMongo: true });
    await setEnvironment(pair);
    await pair.arrive();
  });

  afterEach(async () => {
    await stopAll();
    await pair.remove();
  });

  const soon = (portal: Portal, clientId: string, headers: Headers) =>
    eventually(
      () => portal.get(clientId, headers),
      ({ status }) => status !== 503,
    );

  it('is named by readiness and logged once; work that does not need it goes on; it is used again when it is back', async () => {
    const all = await startAll();
    const [management, auth, projector] = all;
    await Promise.all(all.map((service) => service.ready()));
    const portal = await portalOf(management);
    const client = await portal.newClient();
    const lines = () => [
      logged(management, /"level":"warn"/),
      logged(auth, /"level":"warn"/),
      logged(projector, /"level":"warn"/),
    ];
    /**
     * Expects that exactly these lines have been added. Only the lines of an outage itself count: on a busy machine, a
     * store that is there may also be too slow for a check.
     */
    const expectAdded = async (before: readonly number[], expected: readonly number[]) => {
      const added = () => lines().map((count, index) => count - (before[index] ?? 0));
      await eventually(
        () => Promise.resolve(added()),
        (found) => expected.every((count, index) => (found[index] ?? 0) >= count),
      );
      expect(added()).toEqual(expected);
    };

    const beforeFirst = lines();
    await pair.mongo.kill();
    await eventually(
      () => missing(management),
      ([, down]) => down.includes('read store'),
    );
    expect((await missing(auth))[0]).toBe(200);
    expect((await portal.list()).refusal).toBe('503 READ_STORE_UNAVAILABLE');
    const renamed = await portal.rename(client.clientId, 'While the read store is gone');
    expect((await oauthLogin(auth.url, client)).status).toBe(200);
    await missing(management);
    await expectAdded(beforeFirst, [1, 0, 1]);
    await pair.mongo.restart();
    await Promise.all([management, projector].map((service) => service.ready()));
    expect((await soon(portal, client.clientId, readAfter(renamed))).body.name).toBe('While the read store is gone');

    const beforeSecond = lines();
    await pair.eventStore.kill();
    await eventually(
      () => missing(auth),
      ([, down]) => down.includes('event log'),
    );
    const [login, rename] = await Promise.all([
      oauthLogin(auth.url, client),
      portal.rename(client.clientId, 'While the event log is gone'),
    ]);
    expect([login.status, rename.refusal]).toEqual([503, '503 LOG_UNAVAILABLE']);
    expect((await portal.get(client.clientId)).body.name).toBe('While the read store is gone');
    await missing(auth);
    await expectAdded(beforeSecond, [1, 1, 1]);
    await pair.eventStore.restart();
    await Promise.all(all.map((service) => service.ready()));
    const back = await portal.rename(client.clientId, 'All is back');
    expect((await soon(portal, client.clientId, readAfter(back))).body.name).toBe('All is back');
    expect((await oauthLogin(auth.url, client)).status).toBe(200);
  });

  it('has a clock: a process whose own clock differs issues nothing and is not ready, until its clock is right', async () => {
    const clock = new ProgramClock();
    try {
      const [management] = await Promise.all([start('management'), start('projector')]);
      await management.ready();
      const wrong = await Promise.all(
        (['auth', 'management'] as const).map((name) => Service.startReady(name, { ...env, ...clock.env })),
      );
      running.push(...wrong);
      const [auth, dating] = wrong as [Service, Service];
      const portal = await portalOf(management);
      const client = await portal.newClient();
      const login = await oauthLogin(auth.url, client);
      expect(login.status).toBe(200);
      clock.set(30);
      await eventually(
        () => missing(auth),
        ([, down]) => down.includes('event log'),
      );
      for (const refused of [
        await oauthLogin(auth.url, client),
        await refresh(auth.url, client, refreshTokenOf(login)),
      ]) {
        expect(oauthErrorOf(refused)).toMatchObject({ status: 503, error: 'temporarily_unavailable' });
      }
      await eventually(
        () => missing(dating),
        ([, down]) => down.includes('event log'),
      );
      const late = await (await portalOf(dating)).rename(client.clientId, 'Of another time');
      expect([late.refusal, late.header('retry-after')]).toEqual(['503 CLOCKS_APART', '1']);
      const ended = await Cli.run(['tokens', 'end', '--all', '--yes'], { ...env, ...clock.env });
      expect(ended).toMatchObject({ code: 69, stdout: '' });
      expect(ended.stderr).toMatch(/The clock of this process and the event log's are \d+ s apart/);
      expect((await portal.get(client.clientId)).body).toMatchObject({ name: client.name, revision: 0 });
      expect(logged(auth, /"message":"The clock of this process and the event log's are (29|30|31) s apart"/)).toBe(1);
      clock.set(0);
      await auth.ready();
      expect((await oauthLogin(auth.url, client)).status).toBe(200);
    } finally {
      clock.remove();
    }
  });
});

describe('a single process', () => {
  const MASTER_KEY = randomBytes(32).toString('base64');
  /** Waits for its stores while the other tests run, because drivers take long to say that a server is not there. */
  let projector: Service;

  beforeAll(async () => {
    projector = await Service.start('projector', {
      EVENTSTOREDB_URL: 'esdb://admin:hunter2@127.0.0.1:1?tls=false',
      MONGODB_URL: 'mongodb://admin:hunter2@127.0.0.1:1/clients',
    });
  });
  afterAll(() => projector.stop());

  it.each<[ServiceName, string, Environment]>([
    ['management', 'MANAGEMENT_ISSUER', { MASTER_KEY }],
    ['auth', 'MASTER_KEY', {}],
    ['auth', 'GATEWAY_SECRET_FILE', { MASTER_KEY }],
  ])('%s does not start without %s', async (name, variable, env) => {
    const { code, output } = await Program.runToEnd(name, { env });
    expect(code).toBe(1);
    expect(output).toContain(`${variable} must be set`);
  });

  it.each<[string, Environment]>([
    ['EVENTSTOREDB_URL', { EVENTSTOREDB_URL: 'esdb://admin:hunter2@' }],
    ['EVENTSTOREDB_URL', { EVENTSTOREDB_URL: 'esdb://admin:hunter2@127.0.0.1:1?tls=true&tlsVerifyCert=false' }],
    ['EVENTSTOREDB_URL', { EVENTSTOREDB_URL: 'esdb://admin:hunter2@127.0.0.1:1?tlss=true' }],
    ['MONGODB_URL', { MONGODB_URL: 'mongodb://admin:hunter2@/?replicaSet' }],
  ])('stops if its store’s client refuses the %s, and does not print the value', async (variable, wrong) => {
    const unreachable = { EVENTSTOREDB_URL: 'esdb://127.0.0.1:1?tls=false', MONGODB_URL: 'mongodb://127.0.0.1:1' };
    const { code, output } = await Program.runToEnd('projector', { env: { ...unreachable, ...wrong } });
    expect(code).toBe(1);
    expect(output).toContain(`${variable} is not a connection string`);
    expect(output).not.toContain('hunter2');
  });

  it.each(['$ce-', 'production streams', 'usage-'])('does not start with EVENTSTOREDB_PREFIX %j', async (prefix) => {
    const env = { EVENTSTOREDB_URL: 'esdb://127.0.0.1:1?tls=false', EVENTSTOREDB_PREFIX: prefix };
    const { code, output } = await Program.runToEnd('projector', { env });
    expect(code).toBe(1);
    expect(output).toContain("EVENTSTOREDB_PREFIX can't be used: A prefix of stream names ");
  });

  it('waits for missing production stores, and does not print their credentials', async () => {
    const waitsForBoth = (output: string) =>
      output.includes('the event log can’t be used') && output.includes('the read store can’t be used');
    const output = await eventually(() => Promise.resolve(projector.output()), waitsForBoth);
    expect(output).not.toContain('hunter2');
    expect((await projector.readiness()).text).toMatch(/"event log":"down","read store":"down"/);
    expect(await projector.stop()).toBe(0);
  });
});
