import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal, readAfter, secretOf } from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

let directory: string;
let eventStore: EventStore;
let running: Standalone[];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'shared-event-store-'));
  eventStore = await startEventStore();
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((standalone) => standalone.stop()));
  await eventStore.stop();
  rmSync(directory, { recursive: true });
});

/** Starts the installation with this prefix. It keeps its master key and its read models in `dataDir`. */
async function start(prefix: string, dataDir = join(directory, `of-${prefix}`)): Promise<Standalone> {
  const env = { EVENTSTOREDB_URL: eventStore.url, EVENTSTOREDB_PREFIX: prefix };
  const standalone = await Standalone.start({ dataDir, env });
  running.push(standalone);
  await standalone.ready();
  return standalone;
}

interface Installation {
  readonly prefix: string;
  readonly service: Standalone;
  readonly portal: Portal;
  readonly client: Pick<NewClient, 'clientId' | 'secret'>;
}

/** Starts an installation, and creates there what every installation has under the same names. */
async function installed(prefix: string): Promise<Installation> {
  const service = await start(prefix);
  const portal = Portal.of(service);
  await portal.register('weather', { endpointUri: 'weather' });
  // The id of a client that is created without a draft derives from this key.
  const created = await portal.create({ name: `Importer of “${prefix}”` }, { 'idempotency-key': 'the-importer' });
  const { clientId } = created.body.client;
  await portal.assign(clientId, 'weather');
  return { prefix, service, portal, client: { clientId, secret: secretOf(created.body.credential) } };
}

const login = ({ service }: Installation, { client }: Installation) => oauthLogin(service.url, client, 'weather');

it('installations with a prefix each share an event store, and see nothing of each other', async () => {
  const [plain, a, b] = [await installed(''), await installed('a-'), await installed('a-b-')];
  const all = [plain, a, b];
  // The clients have the same stream in each installation, so only the prefix keeps them apart.
  expect(new Set(all.map(({ client }) => client.clientId)).size).toBe(1);
  for (const installation of all) {
    const { portal, prefix, client } = installation;
    const list = await portal.list({}, await portal.readNow());
    expect(list.body.items.map(({ name }) => name)).toEqual([`Importer of “${prefix}”`]);
    expect((await portal.wholeHistory(client.clientId)).map(({ type }) => type)).toEqual([
      'ConsumerClientCreated',
      'ConsumerClientAssignedToSubscription',
    ]);
    for (const other of all) expect((await login(installation, other)).status).toBe(other === installation ? 200 : 401);
  }

  const revoked = await a.portal.revoke(a.client.clientId);
  expect(await Promise.all(all.map(async (each) => (await login(each, each)).status))).toEqual([200, 401, 200]);
  await b.portal.end('weather');
  expect(await Promise.all(all.map(async (each) => (await login(each, each)).status))).toEqual([200, 401, 400]);
  const gone = await a.portal.list({ status: 'revoked' }, readAfter(revoked));
  expect(gone.body.items).toHaveLength(1);
  for (const { portal } of [plain, b]) {
    expect((await portal.list({ status: 'revoked' }, await portal.readNow())).body.items).toEqual([]);
  }

  await plain.service.stop();
  running.splice(running.indexOf(plain.service), 1);
  const restarted = { ...plain, service: await start('') };
  expect((await login(restarted, plain)).status).toBe(200);
});

it('a service works beside another application that owns a stream named log', async () => {
  const other = EventStoreDBClient.connectionString(eventStore.url);
  try {
    const options = { credentials: { username: 'another', password: 'application' } };
    await other.appendToStream('log', jsonEvent({ type: 'Logged', data: {} }), options);
  } finally {
    await other.dispose();
  }
  await expect(start('')).rejects.toThrow();
  const service = await installed('clients.');
  expect((await login(service, service)).status).toBe(200);
});

it('the log of one installation is copied to another prefix, without the others on the server', async () => {
  const [plain, a] = [await installed(''), await installed('a-')];
  const { dataDir } = a.service;
  const copy = (env: Readonly<Record<string, string>>, ...args: string[]) =>
    Cli.run(['log', 'copy', '--from', eventStore.url, ...args], { DATA_DIR: dataDir, ...env });

  // Without the prefix, the copy finds the other installation, whose master key is another one.
  const wrong = await copy({}, '--to', join(directory, 'wrong.db'));
  expect([wrong.code, wrong.stderr]).toEqual([78, expect.stringContaining('MASTER_KEY is not the key')]);
  const invalid = await copy({}, '--from-prefix', '$a', '--to', join(directory, 'wrong.db'));
  expect([invalid.code, invalid.stderr]).toEqual([64, expect.stringContaining('A prefix of stream names')]);
  expect((await plain.portal.rename(plain.client.clientId, 'Not sealed')).status).toBe(200);
  expect((await a.portal.rename(a.client.clientId, 'Not sealed')).status).toBe(200);

  const moved = await copy({ EVENTSTOREDB_PREFIX: 'a-' }, '--to', eventStore.url, '--to-prefix', 'moved.');
  expect(moved.code).toBe(0);
  expect(moved.stdout).toMatch(/^Copied (\d+) events .*, \1 of them now/);
  expect((await a.portal.rename(a.client.clientId, 'Sealed')).refusal).toBe('503 LOG_SEALED');
  expect((await plain.portal.rename(plain.client.clientId, 'Not sealed either')).status).toBe(200);
  const unsealed = await copy({ EVENTSTOREDB_PREFIX: 'moved.' }, '--from-prefix', 'a-', '--unseal');
  expect([unsealed.code, unsealed.stdout]).toEqual([0, expect.stringContaining('takes events again')]);

  await a.service.stop();
  running.splice(running.indexOf(a.service), 1);
  rmSync(join(dataDir, 'read-models.db'));
  const service = await start('moved.', dataDir);
  expect((await login({ ...a, service }, a)).status).toBe(200);
});
