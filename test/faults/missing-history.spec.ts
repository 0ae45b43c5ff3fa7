import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient } from '@eventstore/db-client';
import Database from 'libsql';
import { newClientId } from '#credentials';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { GatewayDouble } from '../support/api/gateway.js';
import { type Answer, eventually, send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { basicOf, introspect, refreshTokenOf, revokeToken } from '../support/api/oauth.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

jest.setTimeout(120_000);

let dataDir: string;
let env: Readonly<Record<string, string>>;
let running: Standalone[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'missing-history-'));
  running = [];
  env = {};
});
afterEach(async () => {
  await stopAll();
  rmSync(dataDir, { recursive: true });
});

/** Stops all processes. A test's event store must still run, because a process that stops would wait for its return. */
const stopAll = () => Promise.all(running.splice(0).map((standalone) => standalone.stop()));

const start = async () => {
  const standalone = await Standalone.start({ dataDir, env });
  running.push(standalone);
  return standalone;
};
const startReady = async () => {
  const standalone = await start();
  await standalone.ready(60);
  return standalone;
};
/** Stops all processes, and starts one again. */
const restart = async () => {
  await stopAll();
  return start();
};

const MISSING = '503 HISTORY_MISSING';

/** Waits until the process knows that events are missing. Until then, it may not have opened the log yet. */
const untilNoticed = (standalone: Standalone) =>
  eventually(
    () => send('GET', standalone.url, '/metrics'),
    ({ text }) => /^event_log_streams_with_missing_events [1-9]/m.test(text),
    60,
  );

/** Expects that a login and a command for the client are refused because events are missing. */
async function expectRefused(standalone: Standalone, { clientId, secret }: NewClient): Promise<void> {
  const portal = Portal.of(standalone);
  const command: Answer<unknown> = await portal.rename(clientId, 'Not to be written');
  expect([command.refusal, command.header('retry-after')]).toEqual([MISSING, '1']);
  const login = await oauthLogin(standalone.url, { clientId, secret });
  expect([login.status, login.header('retry-after')]).toEqual([503, '1']);
}

/** Expects that readiness, the metric and one line of the process's log tell what is missing. */
async function expectTold(standalone: Standalone, what: string): Promise<void> {
  const { text } = await eventually(
    () => send('GET', standalone.url, '/health/ready'),
    ({ status }) => status === 503,
  );
  expect(text).toContain('"event log":"down"');
  await eventually(
    () => send('GET', standalone.url, '/metrics'),
    (metrics) => metrics.text.includes('event_log_streams_with_missing_events 1'),
  );
  await standalone.printed(what);
  const lines = standalone.output().split('\n');
  expect(lines.filter((line) => line.includes('"level":"error"') && line.includes(what))).toHaveLength(1);
}

/** Expects that no process starts, and that it prints all of this. */
async function expectNoStart(...what: readonly (string | RegExp)[]): Promise<void> {
  const error = await restart().then(
    () => 'The process started',
    (reason: unknown) => String(reason),
  );
  for (const part of what) expect(error).toMatch(part);
}

describe('on EventStoreDB', () => {
  let eventStore: EventStore;
  let operator: EventStoreDBClient;
  let portal: Portal;
  let client: NewClient;
  let warm: Standalone;

  beforeEach(async () => {
    eventStore = await startEventStore();
    operator = EventStoreDBClient.connectionString(eventStore.url);
    env = { EVENTSTOREDB_URL: eventStore.url };
    warm = await startReady();
    portal = Portal.of(warm);
    client = await portal.newClient('OAUTH2');
    for (let count = 1; count <= 5; count++) await portal.rename(client.clientId, `Name ${count}`);
  });
  afterEach(async () => {
    await stopAll();
    await operator.dispose();
    await eventStore.stop();
  });

  const streamOf = ({ clientId }: NewClient) => `consumerClient-${clientId}`;
  /** The number of events that were ever appended to our streams. */
  const events = async () => {
    const log = openEventStoreDbLog({ url: eventStore.url });
    const all = await log.readAll({ limit: Infinity });
    await log.close();
    return all.filter(({ stream }) => !stream.startsWith('usage-')).length;
  };

  /** The ids of all records in the log. Not counted are fences, by which each process proves that it reads the leader. */
  const everything = async () => {
    const ids: string[] = [];
    for await (const { event } of operator.readAll()) {
      if (event && !/^(\$\$)?fence-/.test(event.streamId)) ids.push(event.id);
    }
    return ids;
  };
  /** Waits until the first event of the stream can't be read any more. */
  const untilCut = (stream: string) =>
    eventually(
      async () => {
        try {
          let first: bigint | undefined;
          for await (const { event } of operator.readStream(stream, { maxCount: 1 })) first = event?.revision;
          return first;
        } catch {
          return undefined;
        }
      },
      (revision) => revision !== 0n,
    );

  it.each([
    ['$tb', { truncateBefore: 5 }],
    ['$maxCount', { maxCount: 1 }],
  ])(
    'a client stream that %s cuts is never “unknown” to a restarted process, and whole again later',
    async (_, cut) => {
      await operator.setStreamMetadata(streamOf(client), cut);
      const written = await events();
      const restarted = await restart();
      await untilNoticed(restarted);
      await expectRefused(restarted, client);
      await expectTold(restarted, `events 0 to 4 of ${streamOf(client)} are missing`);
      expect(await events()).toBe(written);
      await operator.setStreamMetadata(streamOf(client), {});
      await restarted.ready(60);
      expect((await oauthLogin(restarted.url, client)).status).toBe(200);
      expect((await Portal.of(restarted).rename(client.clientId, 'Whole again')).status).toBe(200);
    },
  );

  it.each(['deleteStream', 'tombstoneStream'] as const)(
    'a client stream that was deleted (%s) is refused by a warm and by a restarted process',
    async (how) => {
      await operator[how](streamOf(client));
      expect((await oauthLogin(warm.url, client)).status).toBe(503);
      await expectTold(warm, `${streamOf(client)} was`);
      const written = await events();
      await expectRefused(warm, client);
      const restarted = await restart();
      await untilNoticed(restarted);
      await expectRefused(restarted, client);
      expect(await events()).toBe(written);
    },
  );

  it.each(['deleteStream', 'tombstoneStream'] as const)(
    'an endpoint whose stream was deleted (%s) is not free for another workspace',
    async (how) => {
      await portal.register('weather');
      await operator[how]('endpointUri-weather');
      const restarted = await restart();
      await untilNoticed(restarted);
      const written = await events();
      const claim = await Portal.of(restarted, { workspaceId: 'other' }).register('tides', { endpointUri: 'weather' });
      expect(claim.refusal).toBe(MISSING);
      expect(await events()).toBe(written);
    },
  );

  it.each(['signingKeys', 'log'])(
    'a process does not start, and writes nothing, where %s is cut, deleted or tombstoned',
    async (stream) => {
      await stopAll();
      const cuts: [() => Promise<unknown>, RegExp][] = [
        [() => operator.setStreamMetadata(stream, { truncateBefore: 1 }), /is missing|are missing/],
        [() => operator.setStreamMetadata(stream, { maxAge: 1 }), /are missing/],
        [() => operator.deleteStream(stream), new RegExp(`${stream} was deleted`)],
        [() => operator.tombstoneStream(stream), new RegExp(`${stream} was tombstoned`)],
      ];
      for (const [cut, why] of cuts) {
        await cut();
        await untilCut(stream);
        const before = await everything();
        await expectNoStart(/HistoryMissing: /, why);
        expect(await everything()).toEqual(before);
      }
    },
  );

  it('a warm process refuses only what needs signing keys while their stream is deleted', async () => {
    const login = await oauthLogin(warm.url, client);
    const revoked = await portal.newClient('OAUTH2');
    await portal.revoke(revoked.clientId);
    await operator.deleteStream('signingKeys');
    expect((await oauthLogin(warm.url, client)).status).toBe(503);
    expect((await oauthLogin(warm.url, revoked)).status).toBe(401);
    expect((await revokeToken(warm.url, refreshTokenOf(login), basicOf(client))).status).toBe(200);
  });

  it('commands stop where the stream about the log itself is cut', async () => {
    await operator.setStreamMetadata('log', { truncateBefore: 1 });
    await expectTold(warm, 'all events of log are missing');
    const written = await events();
    expect((await portal.rename(client.clientId, 'Not to be written')).refusal).toBe(MISSING);
    expect((await portal.create()).refusal).toBe(MISSING);
    expect(await events()).toBe(written);
  });
});

describe('an event log that was exchanged for another one', () => {
  let folder: string;
  let eventStore: EventStore;

  /** The files of the event store, for the log of this name. */
  const fileOf = (name: string) => join(folder, `${name}.jsonl`);
  const serve = async (name: string) => {
    await eventStore.kill();
    for (const suffix of ['', '.epoch']) copyFileSync(fileOf(name) + suffix, fileOf('served') + suffix);
    await eventStore.restart();
  };
  const keep = async (name: string) => {
    await eventStore.kill();
    for (const suffix of ['', '.epoch']) copyFileSync(fileOf('served') + suffix, fileOf(name) + suffix);
  };
  const ours = async () => {
    const log = openEventStoreDbLog({ url: eventStore.url });
    const all = await log.readAll({ limit: Infinity });
    await log.close();
    return all.map(({ eventId }) => eventId);
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'exchanged-log-'));
    eventStore = await startEventStore({ file: fileOf('served') });
    env = { EVENTSTOREDB_URL: eventStore.url };
  });
  afterEach(async () => {
    await stopAll();
    await eventStore.stop();
    rmSync(folder, { recursive: true });
  });

  it('gets nothing of what was meant for the other one: commands stop, all is 503, until the right one is back', async () => {
    const stranger = await Standalone.startReady({ env });
    await Portal.of(stranger).newClient('OAUTH2');
    await stranger.stop();
    await keep('another');
    rmSync(fileOf('served'));
    rmSync(`${fileOf('served')}.epoch`);
    await eventStore.restart();

    const warm = await startReady();
    const portal = Portal.of(warm);
    const client = await portal.newClient('OAUTH2');
    const token = (await oauthLogin(warm.url, client)).body.access_token;
    const before = await ours();
    await keep('right');
    // These commands have begun before the exchange. Each is sent to the store again and again for some seconds.
    const underWay = [portal.create({ name: 'Under way' }), portal.rename(client.clientId, 'Under way')];
    await serve('another');
    const others = await ours();

    for (const { refusal } of await Promise.all(underWay)) expect(refusal).toMatch(/^503 /);
    await expectTold(warm, 'events are missing from the event log');
    const refused = [
      await portal.create(),
      await portal.rename(client.clientId, 'Lost'),
      await portal.register('tides'),
    ];
    expect(refused.map(({ refusal }) => refusal)).toEqual([MISSING, MISSING, MISSING]);
    const answers = [
      await oauthLogin(warm.url, client),
      await introspect(warm.url, token, basicOf(client)),
      await revokeToken(warm.url, token, basicOf(client)),
    ];
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
    expect(await new GatewayDouble(warm).ask({ token })).toBe('503 UNAVAILABLE');
    expect(await ours()).toEqual(others);

    await serve('right');
    await eventually(
      () => portal.rename(client.clientId, 'It is the right one again'),
      ({ status }) => status === 200,
    );
    expect((await oauthLogin(warm.url, client)).status).toBe(200);
    expect((await ours()).slice(0, before.length)).toEqual(before);
  });
});

describe('made-up client ids', () => {
  const LOGINS = 300;
  /** Number of ids that are looked up per minute (`MAX_CLAIMED_IDS`), each by two reads: the client and its metadata. */
  const LOOK_UPS = 2 * 256;
  /** Number of reads that the process makes for itself meanwhile, such as for readiness. */
  const OWN_READS = 30;

  it('cost the event store no reads, however many they are, and few when usage is recorded', async () => {
    const eventStore = await startEventStore();
    env = { EVENTSTOREDB_URL: eventStore.url, RATE_LIMIT_LOGIN_PER_ADDRESS: '100000' };
    const warm = await startReady();
    try {
      const before = await eventStore.streamReads();
      for (let count = 0; count < LOGINS; count++) {
        const madeUp = { clientId: newClientId(), secret: `ccs_${'a'.repeat(52)}` };
        const [login, atEndpoint] = [await oauthLogin(warm.url, madeUp), await oauthLogin(warm.url, madeUp, 'weather')];
        expect([login.status, atEndpoint.status]).toEqual([401, 401]);
      }
      expect((await eventStore.streamReads()) - before).toBeLessThan(OWN_READS);
      await warm.stop();
      expect((await eventStore.streamReads()) - before).toBeLessThan(LOOK_UPS + OWN_READS);
    } finally {
      await warm.stop();
      await eventStore.stop();
    }
  });
});

describe('on SQLite', () => {
  /** Deletes rows from the log's file, as somebody with the right to write the file can. */
  const deleteRows = (where: string) => {
    const db = new Database(join(dataDir, 'event-log.db'));
    db.exec(`DROP TRIGGER events_are_never_deleted; DELETE FROM events WHERE ${where}`);
    db.close();
  };
  const rows = async () => {
    const log = await openSqliteEventLog({ file: join(dataDir, 'event-log.db') });
    const all = await log.readAll({ limit: Infinity });
    await log.close();
    return all.filter(({ stream }) => !stream.startsWith('usage-')).length;
  };

  it('a client stream without its first, middle or last rows is refused, never unknown', async () => {
    const warm = await startReady();
    const portal = Portal.of(warm);
    const clients = await Promise.all(['1', '2', '3'].map((name) => portal.newClient('OAUTH2', name)));
    for (const { clientId } of clients) for (const name of ['A', 'B', 'C']) await portal.rename(clientId, name);
    const [first, middle, last] = clients as [NewClient, NewClient, NewClient];
    const of = ({ clientId }: NewClient) => `stream = 'consumerClient-${clientId}'`;
    deleteRows(`(${of(first)} AND revision = 0) OR (${of(middle)} AND revision = 2) OR (${of(last)} AND revision > 1)`);
    const written = await rows();
    expect((await portal.rename(last.clientId, 'Not to be written')).refusal).toBe(MISSING);
    await expectTold(warm, `events 2 to 3 of consumerClient-${last.clientId} are missing`);
    // The restarted process is not waited for until it is ready: a projection whose last event was deleted is not.
    const restarted = await restart();
    for (const client of [first, middle]) await expectRefused(restarted, client);
    expect(await rows()).toBe(written);
  });

  it.each(['signingKeys', 'log'])(
    'a process does not start, and writes nothing, without rows of %s',
    async (stream) => {
      await Portal.of(await startReady()).newClient('OAUTH2');
      await stopAll();
      deleteRows(`stream = '${stream}'`);
      const written = await rows();
      await expectNoStart(`HistoryMissing: all events of ${stream} are missing`);
      expect(await rows()).toBe(written);
    },
  );
});
