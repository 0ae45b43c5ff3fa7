import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { startCluster } from './cluster.js';
import { type EventStore, type EventStoreOptions, startEventStore } from './event-store.js';

// These tests show that the launcher starts the program that EVENTSTOREDB_PROGRAM names. The program is a fake one,
// which takes the options of the real one, and runs the stand-in.

const FAKE = join(__dirname, 'fake-eventstored.mjs');
/** Not the system's folder for temporary files, in which programs may be forbidden. */
const CACHE = join(__dirname, '../../../node_modules/.cache');
const { EVENTSTOREDB_PROGRAM } = process.env;

let directory: string;
let store: EventStore | undefined;
let client: EventStoreDBClient | undefined;

beforeEach(() => {
  mkdirSync(CACHE, { recursive: true });
  directory = mkdtempSync(join(CACHE, 'installed-server-'));
});
afterEach(async () => {
  await client?.dispose();
  await store?.stop();
  [client, store] = [undefined, undefined];
  rmSync(directory, { recursive: true });
  if (EVENTSTOREDB_PROGRAM === undefined) delete process.env.EVENTSTOREDB_PROGRAM;
  else process.env.EVENTSTOREDB_PROGRAM = EVENTSTOREDB_PROGRAM;
});

/** Installs a program. As some packages do, the program is a script that starts the server. */
const install = (command: string): void => {
  const program = join(directory, 'eventstored');
  writeFileSync(program, `#!/bin/sh\n${command}\n`);
  chmodSync(program, 0o755);
  process.env.EVENTSTOREDB_PROGRAM = program;
};
const installVersion = (version: string): void => {
  install(`FAKE_VERSION=${version} '${process.execPath}' '${FAKE}' "$@"`);
};

const start = async (options?: EventStoreOptions) => {
  store = await startEventStore(options);
  client = EventStoreDBClient.connectionString(store.url);
  return { store, client };
};

const unary = { credentials: { username: 'admin', password: 'changeit' } };
const event = (text = 'x') => jsonEvent({ type: 'Opened', data: { text } });
const append = (to: EventStoreDBClient, deadline = 10_000) =>
  to.appendToStream('account', event(), { ...unary, deadline });
const count = async (from: EventStoreDBClient) => {
  let events = 0;
  for await (const { event: found } of from.readStream('account')) if (found) events += 1;
  return events;
};

test.each(['22.10.5', '23.10.8', '24.10.14', '26.1.0'])(
  'one node of version %s is started, killed, paused, stopped and started again',
  async (version) => {
    installVersion(version);
    const { store, client } = await start();
    expect(store.state).toMatchObject({ role: 'leader', isReady: true });
    await append(client);
    await store.kill();
    await expect(append(client)).rejects.toMatchObject({ type: 'unavailable' });
    await store.restart();
    await append(client);
    store.freeze();
    await expect(append(client, 300)).rejects.toMatchObject({ type: 'deadline-exceeded' });
    await endOfTurn(); // By the end of this turn of the event loop, the client has sent its cancellation.
    store.thaw();
    expect(await count(client)).toBe(2);
    await store.terminate();
    await expect(append(client)).rejects.toMatchObject({ type: 'unavailable' });
    await store.restart();
    expect(await count(client)).toBe(2);
    await expect(store.refuse({ status: 16, message: 'UNAUTHENTICATED' })).rejects.toThrow('no stand-in');
  },
);

test('a node keeps its log in the folder that it is given, and takes a limit for appends', async () => {
  installVersion('24.10.14');
  const file = join(directory, 'log');
  const { store, client } = await start({ file, maxAppendBytes: 1_000 });
  await append(client);
  await expect(client.appendToStream('account', event('x'.repeat(1_000)), unary)).rejects.toMatchObject({
    type: 'maximum-append-size-exceeded',
  });
  await store.stop();
  await client.dispose();
  expect(await count((await start({ file })).client)).toBe(1);
});

test('three nodes elect a leader, and another one when it is killed or paused', async () => {
  installVersion('23.10.8');
  const cluster = await startCluster();
  client = EventStoreDBClient.connectionString(cluster.url);
  try {
    expect(cluster.nodes.map(({ state }) => state?.role).sort()).toEqual(['follower', 'follower', 'leader']);
    await append(client);
    const first = await cluster.leader();
    await first.kill();
    const second = await cluster.leader(first);
    expect(second).not.toBe(first);
    await first.restart();
    await cluster.until(() => first.state?.role === 'follower');
    second.freeze();
    expect(await cluster.leader(second)).not.toBe(second);
    second.thaw();
    await cluster.until(() => second.state?.role === 'follower');
    const reader = EventStoreDBClient.connectionString(`${cluster.url}&keepAliveInterval=20000`);
    expect(await count(reader)).toBe(1);
    await reader.dispose();
  } finally {
    await cluster.stop();
  }
});

test('a server that does not start says why', async () => {
  install(
    `case "$*" in *--version*) echo 'EventStoreDB version 23.10.8' ;; *) echo 'No quorum of disks'; exit 1 ;; esac`,
  );
  await expect(startEventStore()).rejects.toThrow('No quorum of disks');
  install(`FAKE_VERSION=26.1.0 '${process.execPath}' '${FAKE}' --http-port=1 "$@"`);
  await expect(startEventStore()).rejects.toThrow('The option http-port is not a known option');
});
