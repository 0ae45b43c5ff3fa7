import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BACKWARDS, END, EventStoreDBClient } from '@eventstore/db-client';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { eventually, send } from '../support/api/http.js';
import { Issuer } from '../support/api/issuer.js';
import { oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { processSecrets } from '../support/processes/process-secrets.js';
import type { Environment } from '../support/processes/program.js';
import { Service, type ServiceName } from '../support/processes/service.js';
import { Standalone } from '../support/processes/standalone.js';

const NAMES = ['management', 'auth', 'projector'] as const;

let eventStore: EventStore;
let operator: EventStoreDBClient;
let issuer: Issuer;
let dataDir: string;
let env: Environment;
let services: Readonly<Record<ServiceName, Service>>;
let portal: Portal;
let client: NewClient;
let stream: string;

beforeEach(async () => {
  [eventStore, issuer] = await Promise.all([startEventStore(), Issuer.start()]);
  operator = EventStoreDBClient.connectionString(eventStore.url);
  dataDir = mkdtempSync(join(tmpdir(), 'stream-cuts-'));
  env = { ...issuer.env, ...processSecrets(), DATA_DIR: dataDir, EVENTSTOREDB_URL: eventStore.url };
  await startAll();
  client = await portal.newClient('OAUTH2');
  stream = `consumerClient-${client.clientId}`;
  for (const name of ['Second', 'Third']) await portal.rename(client.clientId, name);
});
afterEach(async () => {
  await stopAll();
  await operator.dispose();
  await issuer.close();
  await eventStore.stop();
  rmSync(dataDir, { recursive: true });
});

async function startAll(): Promise<void> {
  const start = async (name: ServiceName) => {
    const service = await Service.start(name, env);
    services = { ...services, [name]: service };
    await service.ready();
  };
  await Promise.all(NAMES.map(start));
  portal = new Portal(services.management.url, await issuer.token('acme'));
}
const stopAll = () => Promise.all(Object.values(services).map((service) => service.stop()));

/** Waits until the event log of each kind of process is so, and `/health/ready` is answered with this status. */
const untilAll = (log: 'up' | 'degraded' | 'down', status: 200 | 503) =>
  Promise.all(
    NAMES.map((name) =>
      eventually(
        () => services[name].readiness(),
        (answer) => answer.status === status && answer.text.includes(`"event log":"${log}"`),
      ),
    ),
  );
const metric = (name: string) => Promise.all(NAMES.map((service) => services[service].metric(name)));
/** The lines that each process has logged about cut streams, as sentences. */
const told = (name: ServiceName) =>
  services[name]
    .output()
    .split('\n')
    .filter((line) => line.includes('is cut: its events'))
    .map((line) => JSON.parse(line) as { level: string; stream: string; how: string })
    .map(({ level, stream: of, how }) => `${level}: ${of} ${how}`);

/** The read is read to its end: the driver's `dispose` would wait for a read that was left early. */
async function lastRevision(of: string): Promise<bigint | undefined> {
  let last: bigint | undefined;
  for await (const { event } of operator.readStream(of, { direction: BACKWARDS, fromRevision: END, maxCount: 1 })) {
    last = event?.revision;
  }
  return last;
}

describe('a setting that will cut a stream of ours', () => {
  it('is an alert in every kind of process, before events are missing, until it is taken back', async () => {
    await operator.setStreamMetadata(stream, { maxAge: 31_536_000 });
    await untilAll('degraded', 200);
    for (const name of NAMES) {
      await services[name].printed('is cut: its events');
      expect(told(name)).toEqual([`error: ${stream} has $maxAge 31536000`]);
    }
    expect(await metric('event_log_cut_streams')).toEqual([1, 1, 1]);
    expect(await metric('event_log_streams_with_missing_events')).toEqual([0, 0, 0]);
    expect((await portal.rename(client.clientId, 'Still served')).status).toBe(200);
    expect((await oauthLogin(services.auth.url, client)).status).toBe(200);

    await stopAll();
    await startAll();
    await untilAll('degraded', 200);

    await operator.setStreamMetadata(stream, {});
    await untilAll('up', 200);
    expect(await metric('event_log_cut_streams')).toEqual([0, 0, 0]);
  });

  it('is noticed by the warm processes as soon as events are missing: they write nothing more there', async () => {
    await operator.setStreamMetadata(stream, { maxCount: 2 });
    await untilAll('down', 503);
    for (const name of NAMES) await services[name].printed(`event 0 of ${stream} is missing`);
    expect(await metric('event_log_cut_streams')).toEqual([1, 1, 1]);
    const refused = await portal.rename(client.clientId, 'Not to be written');
    expect([refused.refusal, refused.header('retry-after')]).toEqual(['503 HISTORY_MISSING', '1']);
    expect((await portal.create()).status).toBe(201);

    await operator.setStreamMetadata(stream, {});
    await untilAll('up', 200);
    expect((await portal.rename(client.clientId, 'Whole again')).body.client.revision).toBe(3);
  });
});

it('more streams are cut than one check reads again: those that lose events later are noticed all the same', async () => {
  for (let nth = 1; nth <= 40; nth++) {
    const { clientId } = await portal.newClient('OAUTH2');
    await operator.setStreamMetadata(`consumerClient-${clientId}`, { maxCount: 9 });
  }
  await operator.setStreamMetadata(stream, { maxCount: 3 });
  await untilAll('degraded', 200);
  expect(await metric('event_log_cut_streams')).toEqual([41, 41, 41]);
  await portal.rename(client.clientId, 'Pushes out the first event');
  await untilAll('down', 503);
});

it('the projector of a standalone writes nothing more to a stream that lacks events, although it knew it', async () => {
  const ofStandalone = { EVENTSTOREDB_URL: eventStore.url, EVENTSTOREDB_PREFIX: 'standalone-', LOG_LEVEL: 'info' };
  const standalone = await Standalone.startReady({ env: ofStandalone });
  try {
    const own = Portal.of(standalone);
    const { clientId } = await own.newClient('OAUTH2');
    const cut = `standalone-consumerClient-${clientId}`;
    for (const name of ['first', 'second']) {
      await own.register(name);
      await own.assign(clientId, name);
    }
    const subscriptions = async (rest: readonly string[]) =>
      eventually(
        () => own.get(clientId),
        ({ body }) => JSON.stringify(body.subscriptions.map((each) => each.subscriptionId)) === JSON.stringify(rest),
      );
    await own.end('first');
    await subscriptions(['second']);

    await operator.setStreamMetadata(cut, { maxCount: 2 });
    await eventually(
      () => send('GET', standalone.url, '/health/ready'),
      ({ text }) => text.includes('"projector thread":"down"'),
    );
    const last = () => lastRevision(cut);
    const before = await last();
    await own.end('second');
    await eventually(
      () => send('GET', standalone.url, '/metrics'),
      ({ text }) => /^process_manager_failing\{.*\} 1$/m.test(text),
    );
    expect(await last()).toBe(before);
    expect(standalone.output().match(/events are missing from the event log/g)).toHaveLength(1);

    await operator.setStreamMetadata(cut, {});
    await subscriptions([]);
  } finally {
    await standalone.stop();
  }
});

describe('the command line', () => {
  const run = (...args: string[]) => Cli.run(args, env);

  it('names every stream that is cut when it compares a projection with the log', async () => {
    await operator.setStreamMetadata(stream, { maxCount: 9 });
    await operator.deleteStream('endpointUri-weather');
    const { code, stdout, stderr } = await run('projections', 'compare', 'clients');
    expect([code, stdout]).toEqual([3, 'clients: 1 document, 0 different from the log\n']);
    expect(stderr).toContain(`${stream} has $maxCount 9`);
    expect(stderr).toContain('endpointUri-weather was deleted');
    await operator.setStreamMetadata(stream, {});
    await operator.setStreamMetadata('endpointUri-weather', {});
    const again = await run('projections', 'compare', 'clients');
    expect(again).toMatchObject({ code: 0, stderr: expect.not.stringContaining('scavenge') as string });
  });

  it('copies a log whose streams are cut while the log still has their events, and names them', async () => {
    await operator.tombstoneStream(stream);
    const target = join(dataDir, 'copy', 'event-log.db');
    const { code, stdout, stderr } = await run('log', 'copy', '--from', eventStore.url, '--to', target);
    expect(stderr).toContain(`${stream} of the source was tombstoned`);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^Copied \d+ events/)]);
  });
});
