import { randomBytes, randomUUID } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MasterKeys } from '#credentials';
import { type ConsumerClients, type EventLog, isSealed, LogIsSealed, openBookOfRecord } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { RecordedEvent } from '#events';
import { SigningKeyRing } from '#tokens';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { eventually } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import { Portal } from '../support/api/portal.js';
import { expectSoundLog } from '../support/events/audit.js';
import { inGroups } from '../support/load/in-groups.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

let directory: string;
let eventStore: EventStore;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'log-copy-'));
  eventStore = await startEventStore();
});
afterEach(async () => {
  await eventStore.stop();
  await rm(directory, { recursive: true });
});

const now = () => new Date();
const openTarget = () => openEventStoreDbLog({ url: eventStore.url });

async function using<T>(opening: EventLog | Promise<EventLog>, use: (log: EventLog) => Promise<T>): Promise<T> {
  const log = await opening;
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

const isMarker = ({ stream, type }: RecordedEvent) => stream === 'log' && type !== 'LogCreated';

/**
 * Reads the events that a copy must keep: all events except seals (the closing events of a log that is being moved).
 * Positions are removed, because each store assigns its own positions.
 */
const bookIn = (opening: EventLog | Promise<EventLog>) =>
  using(opening, async (log) => {
    const events = await log.readAll({ limit: 100_000, consistency: 'strong' });
    return events.filter((event) => !isMarker(event)).map(({ position: _, ...event }) => event);
  });

const sealed = (file: string) => using(openSqliteEventLog({ file }), isSealed);

describe('moving the book of record', () => {
  it('to EventStoreDB and back keeps every event, chain, client and token; the source accepts no more events', async () => {
    const service = await Standalone.startReady({ dataDir: directory });
    const source = join(directory, 'event-log.db');
    const portal = Portal.of(service);
    await portal.register('sub_weather', { endpointUri: 'weather' });
    const [importer, planner, gone] = [
      await portal.newClient('API_KEY'),
      await portal.newClient('OAUTH2'),
      await portal.newClient('OAUTH2'),
    ];
    await portal.assign(importer.clientId, 'sub_weather');
    await portal.assign(planner.clientId, 'sub_weather');
    const { access_token: staticToken } = (await apiKeyLogin(service.url, importer.secret, 'weather')).body;
    await portal.revoke(gone.clientId);
    const identified = (await portal.create({ externalId: 'crm:4711' })).body.client;
    const made = async (subject: string) => {
      const command = ['token', '--workspace', 'acme', '--scope', 'audit:read', '--subject', subject, '--json'];
      const { stdout } = await Cli.run(command, { DATA_DIR: directory });
      return JSON.parse(stdout) as { readonly token: string; readonly tokenId: string };
    };
    const [good, ended] = [await made('auditor'), await made('former auditor')];
    expect(await Cli.run(['tokens', 'end', ended.tokenId], { DATA_DIR: directory })).toMatchObject({ code: 0 });

    const up = await Cli.run(['log', 'copy', '--from', source, '--to', eventStore.url], { DATA_DIR: directory });
    expect(up).toMatchObject({ code: 0 });
    expect(up.stdout).toMatch(/^Copied (\d+) events of \d+ streams, \1 of them now/);
    expect(up.stdout).toContain('rebuil');

    const refused = await portal.rename(planner.clientId, 'Too late');
    expect(refused.refusal).toBe('503 LOG_SEALED');
    expect(refused.header('retry-after')).toBe('1');
    // The client's first login has to append an event, because the login issues a static token.
    const login = await apiKeyLogin(service.url, importer.secret);
    expect([login.status, login.headers['retry-after']]).toEqual([503, '1']);
    expect(login.text).toContain('being moved');
    await service.stop();
    const book = await bookIn(openSqliteEventLog({ file: source }));
    expect(await bookIn(openTarget())).toEqual(book);
    await using(openTarget(), async (log) => expectSoundLog(await log.readAll({ limit: 100_000 })));

    const uptown = join(directory, 'uptown');
    const env = { EVENTSTOREDB_URL: eventStore.url };
    const onEventStore = await startWithKeyOf(directory, uptown, env);
    const there = Portal.of(onEventStore);
    expect((await apiKeyLogin(onEventStore.url, importer.secret, 'weather')).body.access_token).toBe(staticToken);
    expect((await oauthLogin(onEventStore.url, planner, 'weather')).status).toBe(200);
    expect((await oauthLogin(onEventStore.url, gone)).status).toBe(401);
    expect((await there.list({}, await there.readNow())).body.items).toHaveLength(3);
    expect((await there.create({ externalId: 'crm:4711' })).refusal).toBe('409 EXTERNAL_ID_TAKEN');
    await there.revoke(identified.clientId);
    expect((await there.create({ externalId: 'crm:4711' })).status).toBe(201);
    const listOf = async ({ token }: { readonly token: string }) =>
      (await new Portal(onEventStore.url, token).list()).status;
    expect([await listOf(good), await listOf(ended)]).toEqual([200, 401]);
    const { stdout: acts } = await Cli.run(['tokens', 'list', '--json'], { ...env, DATA_DIR: uptown });
    expect(JSON.parse(acts)).toMatchObject([
      { tokenId: good.tokenId, status: 'GOOD' },
      { tokenId: ended.tokenId, status: 'ENDED' },
    ]);
    await there.rename(planner.clientId, 'Renamed on EventStoreDB');
    await onEventStore.stop();

    const home = join(directory, 'home');
    const back = ['log', 'copy', '--from', eventStore.url, '--to', join(home, 'event-log.db')];
    expect(await Cli.run(back, { DATA_DIR: uptown })).toMatchObject({ code: 0 });
    const atHome = await startWithKeyOf(directory, home);
    expect((await Portal.of(atHome).get(planner.clientId)).body.name).toBe('Renamed on EventStoreDB');
    expect((await oauthLogin(atHome.url, planner, 'weather')).status).toBe(200);
    expect((await apiKeyLogin(atHome.url, importer.secret, 'weather')).body.access_token).toBe(staticToken);
    await atHome.stop();
    expect((await bookIn(openSqliteEventLog({ file: join(home, 'event-log.db') }))).slice(0, book.length)).toEqual(
      book,
    );
  });

  it('continues after a kill -9 and after Ctrl-C from the end of the target', async () => {
    const file = join(directory, 'event-log.db');
    const MASTER_KEY = await writeBook(file, 1_500);
    const total = (await bookIn(openSqliteEventLog({ file }))).length;
    const copy = ['log', 'copy', '--from', file, '--to', eventStore.url];
    const copiedMoreThan = (count: number) =>
      using(openTarget(), (log) =>
        eventually(
          async () => (await log.readAll({ limit: 10_000 })).length,
          (length) => length > count,
        ),
      );

    const killed = Cli.start(copy, { MASTER_KEY });
    await copiedMoreThan(20);
    expect((await killed.end('SIGKILL')).code).toBeNull();
    const first = (await bookIn(openTarget())).length;
    expect(first).toBeLessThan(total);

    const interrupted = Cli.start(copy, { MASTER_KEY });
    await copiedMoreThan(first + 20);
    const { code, stderr } = await interrupted.end('SIGINT');
    expect([code, stderr]).toEqual([130, expect.stringContaining('may be given again')]);
    const second = (await bookIn(openTarget())).length;
    expect(second).toBeLessThan(total);

    const { stdout } = await Cli.run(copy, { MASTER_KEY });
    expect(stdout).toMatch(new RegExp(`^Copied ${total} events of \\d+ streams, ${total - second} of them now`));
    expect(await bookIn(openTarget())).toEqual(await bookIn(openSqliteEventLog({ file })));
  });

  it('also copies events that a process acknowledged before it noticed the seal', async () => {
    const MASTER_KEY = randomBytes(32).toString('base64');
    const acknowledged: string[] = [];
    const copy = join(directory, 'copy.db');
    await using(openEventStoreDbLog({ url: eventStore.url, fenceMaxAgeMs: 4_000 }), async (log) => {
      const { clients } = await openBookOfRecord(log, now);
      await createClient(clients);
      const copying = Cli.run(['log', 'copy', '--from', eventStore.url, '--to', copy], { MASTER_KEY });
      const writing = async () => {
        for (;;) acknowledged.push(await createClient(clients));
      };
      await expect(writing()).rejects.toThrow(LogIsSealed);
      expect(await copying).toMatchObject({ code: 0 });
    });
    const sealedAt = (await using(openTarget(), (log) => log.readStream('log'))).at(-1)?.position ?? '';
    const late = (await using(openTarget(), (log) => log.readAll({ after: sealedAt, limit: 100_000 }))).length;
    expect(late).toBeGreaterThan(0);
    const copied = new Set((await bookIn(openSqliteEventLog({ file: copy }))).map(({ stream }) => stream));
    expect(acknowledged.filter((stream) => !copied.has(stream))).toEqual([]);
  });

  it('is refused with another master key, before anything happens', async () => {
    const file = join(directory, 'event-log.db');
    await writeBook(file, 1);
    const MASTER_KEY = randomBytes(32).toString('base64');
    const { code, stderr } = await Cli.run(['log', 'copy', '--from', file, '--to', eventStore.url], { MASTER_KEY });
    expect([code, stderr]).toEqual([78, expect.stringContaining('MASTER_KEY is not the key')]);
    expect(await sealed(file)).toBe(false);
    expect(await bookIn(openTarget())).toEqual([]);
  });

  it('is refused if the target holds another log, has events of its own, or is the source', async () => {
    const file = join(directory, 'event-log.db');
    const MASTER_KEY = await writeBook(file, 2);
    const copyTo = (place: string) => Cli.run(['log', 'copy', '--from', file, '--to', place], { MASTER_KEY });

    await using(openTarget(), (log) => openBookOfRecord(log, now));
    const foreign = await copyTo(eventStore.url);
    expect([foreign.code, foreign.stderr]).toEqual([1, expect.stringContaining('from revision 0 of log on')]);
    expect(await bookIn(openTarget())).toHaveLength(1);
    expect(await sealed(file)).toBe(false);

    const same = await copyTo(file);
    expect([same.code, same.stderr]).toEqual([1, expect.stringContaining('are the same log')]);
    expect(await sealed(file)).toBe(false);

    const copy = join(directory, 'copy.db');
    expect(await copyTo(copy)).toMatchObject({ code: 0 });
    expect((await stat(copy)).mode & 0o777).toBe(0o600);
    await createClients(copy, 1);
    const diverged = await copyTo(copy);
    expect([diverged.code, diverged.stderr]).toEqual([1, expect.stringContaining('another log than the source')]);
  });

  it('names the option, or the variable, that it can’t use', async () => {
    const file = join(directory, 'event-log.db');
    const MASTER_KEY = await writeBook(file, 1);
    const store = await startEventStore();
    const withTls = store.url.replace('esdb://', 'esdb://user:secret@').replace('?tls=false', '');
    const copy = async (from: string, to: string, ...more: string[]) => {
      const { code, stderr } = await Cli.run(['log', 'copy', '--from', from, '--to', to, ...more], { MASTER_KEY });
      return `${code}: ${stderr.trim()}`;
    };
    const target = join(directory, 'copy.db');
    try {
      const told = await Promise.all([
        copy(join(directory, 'none.db'), target),
        copy('esdb://', target),
        copy(`${store.url}&tlsCAFile=/none.pem&tls=true`.replace('esdb://', 'esdb://user:secret@'), target),
        copy(store.url, target, '--from-prefix', '$'),
        copy(withTls, target),
        copy(file, withTls),
        copy(file, 'kurrentdb://user:secret:more@host'),
        copy(file, '/proc/missing/copy.db'),
        copy(file, join(file, 'copy.db')),
      ]);
      expect(told).toEqual([
        expect.stringMatching(/^4: --from: there is no file .*none\.db$/),
        expect.stringMatching(/^64: --from is not a connection string of its store: /),
        expect.stringMatching(/^64: --from names a file that can’t be read: \/none\.pem \(ENOENT\)$/),
        expect.stringMatching(/^64: --from-prefix can't be used: /),
        expect.stringMatching(/^69: No connection to EventStoreDB: .* without TLS.* \(see --from\)$/),
        expect.stringMatching(/^69: No connection to EventStoreDB: .* without TLS.* \(see --to\)$/),
        expect.stringMatching(/^64: --to is not a connection string of its store: /),
        expect.stringMatching(/^64: --to can't be used \(\/proc\/missing\): ENOENT/),
        `64: --to can't be used (${file}): ${file} is not a directory`,
      ]);
      expect(told.join()).not.toContain('secret');
    } finally {
      await store.stop();
    }
  });

  it('is undone by --unseal: the source accepts events again, and can be copied again later', async () => {
    const file = join(directory, 'event-log.db');
    const MASTER_KEY = await writeBook(file, 2);
    const copy = ['log', 'copy', '--from', file, '--to', join(directory, 'copy.db')];
    expect(await Cli.run(copy, { MASTER_KEY })).toMatchObject({ code: 0 });
    await expect(createClients(file, 1)).rejects.toThrow('sealed');
    const unsealed = await Cli.run(['log', 'copy', '--from', file, '--unseal']);
    expect([unsealed.code, unsealed.stdout]).toEqual([0, expect.stringContaining('takes events again')]);
    await createClients(file, 3);
    const again = await Cli.run(copy, { MASTER_KEY });
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining(', 3 of them now')]);
    const copied = () => openSqliteEventLog({ file: join(directory, 'copy.db') });
    expect(await bookIn(copied())).toEqual(await bookIn(openSqliteEventLog({ file })));
    expect(await using(copied(), isSealed)).toBe(false);
  });
});

/**
 * Starts a standalone process (all apps in one) on the directory `dataDir`, with the master key of the directory
 * `other`.
 */
async function startWithKeyOf(other: string, dataDir: string, env = {}): Promise<Standalone> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await copyFile(join(other, 'master.key'), join(dataDir, 'master.key'));
  return Standalone.startReady({ dataDir, env });
}

/** Creates a log with `clients` clients, as a service would. Resolves to the log's master key. */
async function writeBook(file: string, clients: number): Promise<string> {
  const key = randomBytes(32);
  await using(openSqliteEventLog({ file }), async (log) => {
    const { signingKeys } = await openBookOfRecord(log, now);
    await new SigningKeyRing(signingKeys, MasterKeys.from({ current: key }), { alg: 'EdDSA' }).start();
  });
  await createClients(file, clients);
  return key.toString('base64');
}

const createClients = (file: string, count: number): Promise<void> =>
  using(openSqliteEventLog({ file }), async (log) => {
    const { clients } = await openBookOfRecord(log, now);
    await inGroups(Array.from({ length: count }), () => createClient(clients));
  });

/** Creates a client. After the acknowledgement, resolves to the name of the client's stream. */
async function createClient(clients: ConsumerClients): Promise<string> {
  const commandId = randomUUID();
  const clientId = `cc_${randomBytes(10).toString('hex')}` as const;
  await clients.execute(
    clientId,
    {
      ...{ type: 'CreateClient', clientId, workspaceId: 'acme', name: 'Orders', at: now().toISOString() },
      ...{ authenticationType: 'OAUTH2', verifier: '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAA' },
    },
    {
      context: {
        ...{ commandId, commandHash: '', workspaceId: 'acme', correlationId: commandId, causationId: commandId },
        actor: { subject: 'portal', roles: [], via: 'http' },
      },
    },
  );
  return `consumerClient-${clientId}`;
}
