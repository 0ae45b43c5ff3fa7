import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { binaryEvent, EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import Database from 'libsql';
import { settledWithin } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { NewEvent } from '#events';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { GatewayDouble } from '../support/api/gateway.js';
import { eventually, send } from '../support/api/http.js';
import { type LoginAnswer, oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { basicOf, INACTIVE, introspect, refreshTokenOf } from '../support/api/oauth.js';
import { type Client, type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { withEventLog } from '../support/events/audit.js';
import { Cli, type CliResult } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

const REASON = 'Damaged in an exercise';

let folder: string;
let dataDir: string;
let env: Readonly<Record<string, string>>;
let service: Standalone;
let portal: Portal;
let damaged: NewClient;
let other: NewClient;
let login: LoginAnswer;

const streamOf = ({ clientId }: Pick<Client, 'clientId'>) => `consumerClient-${clientId}`;

const cli = (...args: string[]): Promise<CliResult> => Cli.run(args, { DATA_DIR: dataDir, ...env });

/** Runs a command that must succeed. Returns everything that it prints. */
const cliDone = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await cli(...args);
  expect([args, code, code === 0 ? '' : stderr]).toEqual([args, 0, '']);
  return stdout + stderr;
};

/** Runs a command that must fail with this exit code. Returns its message. */
const cliFails = async (exitCode: number, ...args: string[]): Promise<string> => {
  const { code, stderr } = await cli(...args);
  expect([args, code]).toEqual([args, exitCode]);
  return stderr;
};

const start = async () => {
  service = await Standalone.start({ dataDir, env });
  portal = Portal.of(service);
};
const restart = async () => {
  expect(await service.stop()).toBe(0);
  await start();
};
const startWithFreshReadStore = async () => {
  for (const file of readdirSync(dataDir)) if (file.startsWith('read-models.db')) rmSync(join(dataDir, file));
  await start();
};
const restartWithFreshReadStore = async () => {
  expect(await service.stop()).toBe(0);
  await startWithFreshReadStore();
};

interface Readiness {
  readonly status: string;
  readonly checks: Readonly<Record<string, string>>;
}
const readiness = async () => JSON.parse((await send('GET', service.url, '/health/ready')).text) as Readiness;
const isRed = () => eventually(readiness, ({ status }) => status === 'not ready', 20);
const listsOfClientsStop = () =>
  eventually(readiness, ({ checks }) => OF_CLIENTS.every((name) => checks[`projection ${name}`] === 'down'), 20);

/** Two clients that are assigned to a subscription, one of them with a token and some history. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quarantine-'));
  dataDir = join(folder, 'data');
  env = {};
});
const begin = async () => {
  await start();
  await service.ready();
  await portal.register('weather');
  damaged = await portal.newClient('OAUTH2', 'Damaged');
  other = await portal.newClient('OAUTH2', 'Other');
  for (const { clientId } of [damaged, other]) await portal.assign(clientId, 'weather');
  await portal.rename(damaged.clientId, 'Renamed before');
  login = (await oauthLogin(service.url, damaged, 'weather')).body;
  expect(await new GatewayDouble(service).ask({ token: login.access_token })).toBe('200 GOOD');
  await portal.list({}, await portal.readNow());
};
afterEach(async () => {
  await service.stop();
  rmSync(folder, { recursive: true });
});

/** Expects that the projections are what the log says. Returns what the command line prints for each. */
const compare = (names: readonly string[]): Promise<[string, string][]> =>
  Promise.all(
    names.map(async (name): Promise<[string, string]> => {
      const printed = await cliDone('projections', 'compare', name);
      expect(printed).toContain(`${name}: `);
      expect(printed).toContain(' 0 different from the log');
      return [name, printed];
    }),
  );

const quarantine = (stream: string, ...more: string[]) =>
  cliDone('log', 'quarantine', stream, '--reason', REASON, ...more);

/** Expects that everything but the damaged client works, and that the damaged one is refused everywhere. */
async function expectOthersGoOn(): Promise<void> {
  const { status, checks } = await eventually(readiness, (report) => report.status !== 'not ready', 20);
  expect([status, checks['event log']]).toEqual(['degraded', 'degraded']);
  expect((await send('GET', service.url, '/metrics')).text).toContain('event_log_quarantined_streams 1');

  const name = `Other ${randomUUID()}`;
  const renamed = await portal.rename(other.clientId, name);
  const shown = await eventually(
    () => portal.get(other.clientId, readAfter(renamed)),
    (answer) => answer.status !== 503,
  );
  expect(shown.body).toMatchObject({ name });
  expect(shown.body).not.toHaveProperty('quarantine');
  const history = await eventually(
    () => portal.history(other.clientId, { limit: 200 }, readAfter(renamed)),
    (answer) => answer.status !== 503,
  );
  expect(history.body.items.at(-1)?.data).toEqual({ name });
  const otherLogin = await oauthLogin(service.url, other, 'weather');
  const gateway = new GatewayDouble(service);
  expect(await gateway.ask({ token: otherLogin.body.access_token })).toBe('200 GOOD');

  expect(oauthErrorOf(await oauthLogin(service.url, damaged))).toMatchObject({ status: 401, error: 'invalid_client' });
  expect(await gateway.ask({ token: login.access_token })).toBe('403 CLIENT_NOT_ACTIVE');
  const manager = Portal.of(service, { scopes: ['tokens:introspect'] });
  const bearer = { authorization: `Bearer ${manager.token}` };
  expect((await introspect(service.url, login.access_token, bearer)).text).toBe(INACTIVE);
  const { status: command, problem } = await portal.rename(damaged.clientId, 'Not to be written');
  expect([command, problem.code, problem.detail]).toEqual([409, 'QUARANTINED', expect.stringContaining('quarantined')]);
}

const quarantineShown = { quarantine: { reason: REASON, quarantinedAt: expect.any(String) as string } };

/** Expects that the list of clients, and the client's own page and history, show the quarantine. */
async function expectShown(): Promise<void> {
  const { items } = (await portal.list()).body;
  expect(items.map(({ clientId }) => clientId).sort()).toEqual([damaged.clientId, other.clientId].sort());
  expect(items.find(({ clientId }) => clientId === damaged.clientId)).toMatchObject(quarantineShown);
  expect((await portal.get(damaged.clientId)).body).toMatchObject(quarantineShown);
  expect((await portal.history(damaged.clientId)).body).toMatchObject(quarantineShown);
}

/** Expects that comparisons, rebuilds and a copy work, and name the quarantined stream. */
async function expectMaintenanceWorks(stream: string, source: string): Promise<void> {
  for (const [name, compared] of await compare([...OF_CLIENTS, 'subscriptions'])) {
    expect(compared.includes(`Quarantined: ${stream} (${REASON})`)).toBe(OF_CLIENTS.includes(name));
  }
  await cliDone('projections', 'rebuild', 'clients', '--grace', '0');
  expect(await cliDone('log', 'quarantine', '--list')).toMatch(
    new RegExp(`^STREAM.*\n${stream}  .*  cli  ${REASON}\n$`),
  );

  const target = join(folder, 'copy', 'event-log.db');
  expect(await cliDone('log', 'copy', '--from', source, '--to', target)).toContain(
    `Left out, because it is quarantined: ${stream}`,
  );
  const copy = await openSqliteEventLog({ file: target });
  const copied = new Set((await copy.readAll({ limit: Infinity })).map((event) => event.stream));
  await copy.close();
  expect([stream, streamOf(other), 'quarantines'].map((each) => copied.has(each))).toEqual([false, true, true]);
  await cliDone('log', 'copy', '--from', source, '--unseal');
}

/** Expects that the quarantine of the damaged client holds through restarts, new read models and maintenance. */
async function expectHolds(stream: string, source: string): Promise<void> {
  await expectOthersGoOn();
  await expectShown();
  await restart();
  await expectOthersGoOn();
  await restartWithFreshReadStore();
  await expectOthersGoOn();
  await expectShown();
  await expectMaintenanceWorks(stream, source);
}

/** The projections that fold the streams of clients. */
const OF_CLIENTS = ['clients', 'history', 'assignments'];

async function expectUsedAgain(): Promise<void> {
  await service.ready();
  expect((await readiness()).status).toBe('ready');
  expect((await oauthLogin(service.url, damaged, 'weather')).status).toBe(200);
  expect(await new GatewayDouble(service).ask({ token: login.access_token })).toBe('200 GOOD');
  const renamed = await portal.rename(damaged.clientId, 'Renamed after');
  const shown = await eventually(
    () => portal.get(damaged.clientId, readAfter(renamed)),
    (answer) => answer.status !== 503,
  );
  expect(shown.body).toMatchObject({ name: 'Renamed after', revision: 3 });
  expect(shown.body).not.toHaveProperty('quarantine');
  const history = await portal.wholeHistory(damaged.clientId, readAfter(renamed));
  expect(history.map(({ revision }) => revision)).toEqual([0, 1, 2, 3]);
  await compare(OF_CLIENTS);
}

describe('on SQLite', () => {
  const source = () => join(dataDir, 'event-log.db');
  /** Changes the log's file, as a fault of the disk or somebody with the right to write the file can. */
  const change = <T>(use: (db: Database.Database) => T): T => {
    const db = new Database(source());
    db.exec('DROP TRIGGER IF EXISTS events_are_never_changed; DROP TRIGGER IF EXISTS events_are_never_deleted');
    const result = use(db);
    db.close();
    return result;
  };
  const appended = (event: Pick<NewEvent, 'type' | 'data'>) =>
    withEventLog(dataDir, async (log) => {
      const known = await log.readStream(streamOf(damaged));
      const [{ revision, metadata }] = known.slice(-1) as [(typeof known)[number]];
      await log.append(streamOf(damaged), revision, [{ eventId: randomUUID(), metadata, ...event }]);
    });

  it('one client with an event of an unknown type stops all lists of clients, until it is quarantined', async () => {
    await begin();
    await appended({ type: 'ConsumerClientTeleported', data: { to: 'elsewhere' } });
    await listsOfClientsStop();
    expect(await cliFails(1, 'projections', 'compare', 'clients')).toContain('ConsumerClientTeleported');
    expect(await cliFails(1, 'projections', 'rebuild', 'clients')).toContain('ConsumerClientTeleported');

    const stream = streamOf(damaged);
    expect(await quarantine(stream)).toContain('is broken at revision 3');
    expect(await quarantine(stream)).toContain(`${stream} is quarantined already`);
    await expectHolds(stream, source());
    expect(await cliFails(1, 'log', 'quarantine', stream, '--lift')).toContain(`${stream} is not whole`);
    await expectOthersGoOn();
  });

  it('a client whose row is damaged is quarantined, repaired, and used again with its whole history', async () => {
    await begin();
    expect(await service.stop()).toBe(0);
    const where = `stream = '${streamOf(damaged)}' AND revision = 1`;
    const intact = change((db) => {
      const [data] = db.prepare(`SELECT data FROM events WHERE ${where}`).raw().get([]) as [string];
      db.prepare(`UPDATE events SET data = '{"to' WHERE ${where}`).run([]);
      return data;
    });
    await startWithFreshReadStore();
    await isRed();

    await quarantine(streamOf(damaged));
    await expectOthersGoOn();
    await expectShown();
    expect((await portal.get(damaged.clientId)).body.subscriptions).toEqual([]);
    await expectMaintenanceWorks(streamOf(damaged), source());
    expect(await cliFails(69, 'log', 'quarantine', streamOf(damaged), '--lift')).toContain('is damaged in the file');

    expect(await service.stop()).toBe(0);
    change((db) => db.prepare(`UPDATE events SET data = ? WHERE ${where}`).run([intact]));
    await start();
    await expectOthersGoOn();
    const lifted = await cliDone('log', 'quarantine', streamOf(damaged), '--lift', '--grace', '0');
    expect(lifted).toContain(`${streamOf(damaged)} is used again`);
    await expectUsedAgain();
    await restartWithFreshReadStore();
    await eventually(
      () => portal.get(damaged.clientId),
      ({ status }) => status === 200,
    );
    await compare(OF_CLIENTS);
  });

  it('a client without its first rows keeps nobody from building all lists anew', async () => {
    await begin();
    const left = await portal.unassign(damaged.clientId, 'weather');
    await portal.get(damaged.clientId, readAfter(left));
    change((db) => db.exec(`DELETE FROM events WHERE stream = '${streamOf(damaged)}' AND revision < 2`));
    await restartWithFreshReadStore();
    await isRed();
    expect(await quarantine(streamOf(damaged))).toContain(`events 0 to 1 of ${streamOf(damaged)} are missing`);
    await expectOthersGoOn();
    await restartWithFreshReadStore();
    await expectOthersGoOn();
    await portal.end('weather');
    await eventually(
      async () => (await portal.get(other.clientId, await portal.readNow())).body.subscriptions,
      (subscriptions) => subscriptions.length === 0,
    );
    await compare(OF_CLIENTS);
  });

  it('a subscription, an endpoint and usage can be quarantined, too; the streams that all need can’t', async () => {
    await begin();
    for (const stream of ['log', 'signingKeys', 'quarantines', '$all', 'fence-1']) {
      expect(await cliFails(64, 'log', 'quarantine', stream, '--reason', REASON)).toContain("can't be quarantined");
    }
    expect(await cliFails(4, 'log', 'quarantine', 'consumerClient-unknown', '--reason', REASON)).toContain('no stream');
    expect(await cliFails(64, 'log', 'quarantine', streamOf(damaged))).toContain('--reason');
    expect(await cliFails(4, 'log', 'quarantine', streamOf(damaged), '--lift')).toContain('is not quarantined');
    const previous = { DATA_DIR: dataDir, EVENT_VERSIONS: 'previous' };
    const refused = await Cli.run(['log', 'quarantine', streamOf(damaged), '--reason', REASON], previous);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('EVENT_VERSIONS=previous')]);

    const { access_token: plain } = (await oauthLogin(service.url, damaged)).body;
    const whole = await cliFails(1, 'log', 'quarantine', 'endpointUri-weather', '--reason', REASON);
    expect(whole).toContain('--although-whole');
    expect((await oauthLogin(service.url, damaged, 'weather')).status).toBe(200);
    await quarantine('endpointUri-weather', '--although-whole');
    const claim = await Portal.of(service, { workspaceId: 'other' }).register('tides', { endpointUri: 'weather' });
    expect(claim.refusal).toBe('409 QUARANTINED');
    expect(oauthErrorOf(await oauthLogin(service.url, damaged, 'weather')).error).toBe('unauthorized_client');
    expect((await oauthLogin(service.url, damaged)).status).toBe(200);
    expect(await new GatewayDouble(service).ask({ token: plain })).toBe('403 SUBSCRIPTION_NOT_LIVE');
    await cliDone('log', 'quarantine', 'endpointUri-weather', '--lift');
    expect(await new GatewayDouble(service).ask({ token: plain })).toBe('200 GOOD');

    const refreshToken = refreshTokenOf(await oauthLogin(service.url, damaged, 'weather'));
    await quarantine('subscription-weather', '--although-whole');
    expect((await portal.end('weather')).refusal).toBe('409 QUARANTINED');
    expect((await portal.subscriptions()).body.items).toMatchObject([
      { subscriptionId: 'weather', ...quarantineShown },
      ...(await portal.subscriptions()).body.items.slice(1),
    ]);
    expect(oauthErrorOf(await oauthLogin(service.url, damaged, 'weather')).error).toBe('unauthorized_client');
    expect(await new GatewayDouble(service).ask({ token: plain })).toBe('403 SUBSCRIPTION_NOT_LIVE');
    for (const token of [login.access_token, refreshToken]) {
      expect((await introspect(service.url, token, basicOf(damaged))).text).toBe(INACTIVE);
    }
    await cliDone('log', 'quarantine', 'subscription-weather', '--lift', '--grace', '0');
    expect((await oauthLogin(service.url, damaged, 'weather')).status).toBe(200);

    const metadata = { schemaVersion: 9 } as unknown as NewEvent['metadata'];
    const event = { eventId: randomUUID(), type: 'UsageRecorded', data: {}, metadata };
    await withEventLog(dataDir, (log) => log.append('usage-2026-01-01-another', 'none', [event]));
    expect((await isRed()).checks['projection usage']).toBe('down');
    await quarantine('usage-2026-01-01-another');
    const { checks } = await eventually(readiness, ({ status }) => status === 'degraded');
    expect(checks['projection usage']).toBe('up');
  });
});

describe('on EventStoreDB', () => {
  let eventStore: EventStore;
  let operator: EventStoreDBClient;

  beforeEach(async () => {
    eventStore = await startEventStore();
    operator = EventStoreDBClient.connectionString(eventStore.url);
    env = { EVENTSTOREDB_URL: eventStore.url };
    await begin();
  });
  afterEach(async () => {
    // Before its event store, for whose return it would wait.
    await service.stop();
    await operator.dispose();
    await eventStore.stop();
  });

  it('a tombstoned client is quarantined; it can never be used again', async () => {
    await operator.tombstoneStream(streamOf(damaged));
    expect((await oauthLogin(service.url, damaged)).status).toBe(503);
    await isRed();
    expect(await quarantine(streamOf(damaged))).toContain('was tombstoned');
    await expectOthersGoOn();
    await expectShown();
    await restartWithFreshReadStore();
    await expectOthersGoOn();
    await expectShown();
    await expectMaintenanceWorks(streamOf(damaged), eventStore.url);
    expect(await cliFails(1, 'log', 'quarantine', streamOf(damaged), '--lift')).toContain('was tombstoned');
  });

  it.each([
    ['bytes', binaryEvent({ type: 'Sensor', data: Buffer.from('17.5') }), expectHolds],
    ['JSON', jsonEvent({ type: 'ConsumerClientRenamed', data: { name: 'By another program' } }), expectOthersGoOn],
  ])(
    'a client with an event of another program (%s) stops all lists of clients, until it is quarantined',
    async (_, event, expectItToHold) => {
      await operator.appendToStream(streamOf(damaged), event);
      await listsOfClientsStop();
      expect(await cliFails(1, 'projections', 'compare', 'history')).toContain(streamOf(damaged));
      await quarantine(streamOf(damaged));
      await expectItToHold(streamOf(damaged), eventStore.url);
      expect(await cliFails(1, 'log', 'quarantine', streamOf(damaged), '--lift')).toContain('is not whole');
    },
  );

  it('a client whose stream was cut is used again when the setting is taken back and the quarantine is lifted', async () => {
    await operator.setStreamMetadata(streamOf(damaged), { truncateBefore: 2 });
    await restart();
    expect((await oauthLogin(service.url, damaged)).status).toBe(503);
    await isRed();
    expect(await quarantine(streamOf(damaged))).toContain('events 0 to 1');
    await expectOthersGoOn();
    await operator.setStreamMetadata(streamOf(damaged), {});
    // Whole again, but still quarantined.
    await restart();
    await expectOthersGoOn();
    await expectShown();
    await cliDone('log', 'quarantine', streamOf(damaged), '--lift', '--grace', '0');
    await expectUsedAgain();
  });

  it('an external id whose stream was cut or quarantined is refused, and its client and all others go on', async () => {
    const externalId = 'crm:4711';
    const key = createHash('sha256')
      .update(JSON.stringify(['acme', externalId]))
      .digest('hex');
    const stream = `externalId-${key}`;
    const former = (await portal.create({ externalId })).body.client;
    await portal.revoke(former.clientId);
    const holder = (await portal.create({ externalId })).body.client;
    expect((await portal.describe(other.clientId, { externalId })).refusal).toBe('409 EXTERNAL_ID_TAKEN');

    await operator.setStreamMetadata(stream, { truncateBefore: 1 });
    await restart();
    const refused = () => portal.describe(other.clientId, { externalId });
    await eventually(refused, ({ refusal }) => refusal === '503 HISTORY_MISSING');
    await quarantine(stream);
    expect((await refused()).refusal).toBe('409 QUARANTINED');
    const renamed = await portal.rename(holder.clientId, 'Goes on');
    expect(renamed.body.client).toMatchObject({ name: 'Goes on', externalId });
    expect((await portal.describe(other.clientId, { externalId: 'crm:4712' })).status).toBe(200);
    const { items } = (await portal.list({ externalId }, readAfter(renamed))).body;
    expect(items.map(({ clientId }) => clientId)).toEqual([holder.clientId]);
    expect((await oauthLogin(service.url, other, 'weather')).status).toBe(200);

    await operator.setStreamMetadata(stream, {});
    await cliDone('log', 'quarantine', stream, '--lift', '--grace', '0');
    expect((await refused()).refusal).toBe('409 EXTERNAL_ID_TAKEN');
    await portal.revoke(holder.clientId);
    expect((await refused()).body.client.externalId).toBe(externalId);
  });

  it('an acknowledged quarantine of a whole stream holds at once in a process with a warm state', async () => {
    const gateway = new GatewayDouble(service);
    const isServed = async () => [
      (await oauthLogin(service.url, damaged)).status,
      (await portal.rename(damaged.clientId, `Renamed ${randomUUID()}`)).status,
      await gateway.ask({ token: login.access_token }),
    ];
    const command = ['log', 'quarantine', streamOf(damaged), '--reason', REASON, '--although-whole'];
    const { result } = Cli.start(command, {
      ...{ DATA_DIR: dataDir, ...env },
    });
    do expect(await isServed()).toHaveLength(3);
    while (!(await settledWithin(result, 20)));
    expect(await isServed()).toEqual([401, 409, '403 CLIENT_NOT_ACTIVE']);
    expect((await result).code).toBe(0);
  });
});
