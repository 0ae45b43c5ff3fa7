import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient } from '@eventstore/db-client';
import Database from 'libsql';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { type Answer, eventually, send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { basicOf, refreshTokenOf, revokeToken } from '../support/api/oauth.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

jest.setTimeout(60_000);

let dataDir: string;
let env: Readonly<Record<string, string>>;
let running: Standalone[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'missing-history-'));
  running = [];
  env = {};
});
afterEach(async () => {
  await Promise.all(running.map((standalone) => standalone.stop()));
  rmSync(dataDir, { recursive: true });
});

const start = async () => {
  const standalone = await Standalone.start({ dataDir, env });
  running.push(standalone);
  return standalone;
};
const startReady = async () => {
  const standalone = await start();
  await standalone.ready();
  return standalone;
};
/** Stops all processes, and starts one again. */
const restart = async () => {
  await Promise.all(running.splice(0).map((standalone) => standalone.stop()));
  return start();
};

const MISSING = '503 HISTORY_MISSING';

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
  expect((await send('GET', standalone.url, '/metrics')).text).toContain('event_log_streams_with_missing_events 1');
  const lines = standalone.output().split('\n');
  expect(lines.filter((line) => line.includes('"level":"error"') && line.includes(what))).toHaveLength(1);
}

/** Expects that no process starts, and that the stream is not written to. */
async function expectNoStart(what: string): Promise<void> {
  await expect(restart()).rejects.toThrow(what);
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

  it.each([
    ['$tb', { truncateBefore: 5 }],
    ['$maxCount', { maxCount: 1 }],
  ])(
    'a client stream that %s cuts is never “unknown” to a restarted process, and whole again later',
    async (_, cut) => {
      await operator.setStreamMetadata(streamOf(client), cut);
      const written = await events();
      const restarted = await restart();
      await restarted.ready();
      await expectRefused(restarted, client);
      await expectTold(restarted, `events 0 to 4 of ${streamOf(client)} are missing`);
      expect(await events()).toBe(written);
      await operator.setStreamMetadata(streamOf(client), {});
      await restarted.ready();
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
      await restarted.ready();
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
      await restarted.ready();
      const written = await events();
      const claim = await Portal.of(restarted, { workspaceId: 'other' }).register('tides', { endpointUri: 'weather' });
      expect(claim.refusal).toBe(MISSING);
      expect(await events()).toBe(written);
    },
  );

  it.each(['signingKeys', 'log'])(
    'a process does not start, and writes nothing, where %s is cut or deleted',
    async (stream) => {
      const written = await events();
      await operator.setStreamMetadata(stream, { truncateBefore: 1 });
      await expectNoStart(`HistoryMissing: `);
      await operator.deleteStream(stream);
      await expectNoStart(`HistoryMissing: ${stream} was deleted`);
      expect(await events()).toBe(written);
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
      await Promise.all(running.splice(0).map((standalone) => standalone.stop()));
      deleteRows(`stream = '${stream}'`);
      const written = await rows();
      await expectNoStart(`HistoryMissing: all events of ${stream} are missing`);
      expect(await rows()).toBe(written);
    },
  );
});
