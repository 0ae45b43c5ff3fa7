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
import { basicOf, introspect, refresh, refreshTokenOf, revokeToken } from '../support/api/oauth.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

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
  await standalone.ready();
  return standalone;
};
/** Stops all processes, and starts one again. */
const restart = async () => {
  await stopAll();
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
  await eventually(
    () => send('GET', standalone.url, '/metrics'),
    (metrics) => metrics.text.includes('event_log_streams_with_missing_events 1'),
  );
  await standalone.printed(what);
  const lines = standalone.output().split('\n');
  expect(lines.filter((line) => line.includes('"level":"error"') && line.includes(what))).toHaveLength(1);
}

/** The answers to calls, by the name of the call. */
type Answers = Readonly<Record<string, string>>;

/** Sends all calls at once. Returns each answer's status, with its code and `Retry-After` if it has them. */
async function answersTo(calls: Readonly<Record<string, Promise<Answer<unknown>>>>): Promise<Answers> {
  const entries = Object.entries(calls).map(async ([name, call]) => {
    const answer = await call;
    const isProblem = answer.headers['content-type'] === 'application/problem+json';
    const retryAfter = answer.headers['retry-after'] === undefined ? '' : ` after ${answer.header('retry-after')}`;
    return [name, (isProblem ? answer.refusal : String(answer.status)) + retryAfter] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Each way in which somebody with the store's rights can cut a stream. */
const WAYS = ['$tb', '$maxCount', '$maxAge', 'a soft delete', 'a tombstone'] as const;
type Way = (typeof WAYS)[number];
/** The ways after which the server says that there is no stream. */
const DELETIONS: ReadonlySet<Way> = new Set(['a soft delete', 'a tombstone']);
/** The ways that hide every event: a process that knows the stream can't tell either whether something came after. */
const HIDES_ALL: ReadonlySet<Way> = new Set([...DELETIONS, '$maxAge']);

describe('on EventStoreDB', () => {
  let eventStore: EventStore;
  let operator: EventStoreDBClient;
  /** The prefix of this story's streams, because all stories share a server. */
  let prefix: string;
  let onServer: Readonly<Record<string, string>>;

  beforeAll(async () => {
    eventStore = await startEventStore();
    operator = EventStoreDBClient.connectionString(eventStore.url);
  });
  afterAll(async () => {
    await operator.dispose();
    await eventStore.stop();
  });

  const useInstallation = (name: string) => {
    prefix = `${name}-`;
    onServer = { EVENTSTOREDB_URL: eventStore.url, EVENTSTOREDB_PREFIX: prefix };
  };

  /** Cuts a stream so that its first event, or all its events, can't be read. `$maxCount` needs two events. */
  const cut = (stream: string, way: Way) => {
    const name = `${prefix}${stream}`;
    if (way === '$tb') return operator.setStreamMetadata(name, { truncateBefore: 1 });
    if (way === '$maxCount') return operator.setStreamMetadata(name, { maxCount: 1 });
    if (way === '$maxAge') return operator.setStreamMetadata(name, { maxAge: 1 });
    return way === 'a soft delete' ? operator.deleteStream(name) : operator.tombstoneStream(name);
  };
  /** Takes back what `cut` has done, except a tombstone. */
  const makeWhole = (stream: string) => operator.setStreamMetadata(`${prefix}${stream}`, {});
  /** Waits until the first event of the stream can't be read any more. */
  const untilCut = (stream: string) =>
    eventually(
      async () => {
        try {
          let first: bigint | undefined;
          for await (const { event } of operator.readStream(`${prefix}${stream}`, { maxCount: 1 })) {
            first = event?.revision;
          }
          return first;
        } catch {
          return undefined;
        }
      },
      (revision) => revision !== 0n,
    );
  const untilMissing = (standalone: Standalone, streams: number) =>
    eventually(
      () => send('GET', standalone.url, '/metrics'),
      ({ text }) => text.includes(`event_log_streams_with_missing_events ${streams}\n`),
    );

  /** The records that processes have written, except usage, the adapter's own streams and what `cut` writes. */
  const written = async () => {
    const records: string[] = [];
    for await (const { event } of operator.readAll()) {
      const isOurs = event && !event.type.startsWith('$') && !/fence-|snapshot-|usage-/.test(event.streamId);
      if (isOurs) records.push(`${event.streamId} ${event.id}`);
    }
    return records;
  };

  describe('streams of clients, endpoints and subscriptions', () => {
    /** A client with tokens for one endpoint. One of the streams on which they depend is cut. */
    interface Victim {
      readonly client: NewClient;
      readonly endpoint: string;
      readonly token: string;
      readonly refreshToken: string;
      readonly stream: string;
    }
    const KINDS = ['client', 'endpoint', 'subscription'] as const;
    type Kind = (typeof KINDS)[number];
    /** `$maxCount` is only for clients, since the other streams have one event. */
    const CASES = KINDS.flatMap((kind) =>
      WAYS.filter((way) => kind === 'client' || way !== '$maxCount').map((way) => [kind, way] as const),
    );
    const nameOf = (kind: Kind, way: Way) => `${kind}-${WAYS.indexOf(way)}`;

    const victims = new Map<string, Victim>();
    const victimOf = (kind: Kind, way: Way): Victim => {
      const victim = victims.get(nameOf(kind, way));
      if (!victim) throw new Error(`There is no ${nameOf(kind, way)}`);
      return victim;
    };
    let directory: string;
    let warm: Standalone;
    let writtenBefore: string[];

    const begin = async (kind: Kind, way: Way): Promise<Victim> => {
      const endpoint = nameOf(kind, way);
      const own = Portal.of(warm);
      const client = await own.newClient('OAUTH2');
      await own.register(endpoint);
      await own.assign(client.clientId, endpoint);
      const login = await oauthLogin(warm.url, client, endpoint);
      const token = login.body.access_token;
      expect(await new GatewayDouble(warm).ask({ token, endpoint })).toBe('200 GOOD');
      const streams: Record<Kind, string> = {
        client: `consumerClient-${client.clientId}`,
        endpoint: `endpointUri-${endpoint}`,
        subscription: `subscription-${endpoint}`,
      };
      return { client, endpoint, token, refreshToken: refreshTokenOf(login), stream: streams[kind] };
    };

    beforeAll(async () => {
      useInstallation('clients');
      directory = mkdtempSync(join(tmpdir(), 'missing-history-'));
      warm = await Standalone.startReady({ dataDir: directory, env: onServer });
      for (const [kind, way] of CASES) victims.set(nameOf(kind, way), await begin(kind, way));
      writtenBefore = await written();
      for (const [kind, way] of CASES) await cut(victimOf(kind, way).stream, way);
      await untilMissing(warm, CASES.length);
    });
    afterAll(async () => {
      await warm.stop();
      rmSync(directory, { recursive: true });
    });

    /** What each kind of stream is needed for. The value is the answer of a process that knows the stream. */
    const READS: Record<Kind, Answers> = {
      client: {
        ...{ assign: '200', preview: '200', draft: '201', login: '200', loginAtEndpoint: '200', refresh: '200' },
        ...{ introspect: '200', gateway: '200' },
      },
      endpoint: { claim: '409 ENDPOINT_URI_TAKEN', loginAtEndpoint: '200', refresh: '200', gateway: '200' },
      subscription: {
        ...{ assign: '200', claim: '409 ENDPOINT_URI_TAKEN', register: '200', loginAtEndpoint: '200', refresh: '200' },
        ...{ introspect: '200', gateway: '200' },
      },
    };
    const WRITES: Record<Kind, readonly string[]> = {
      client: ['rename', 'rotate', 'unassign', 'revoke', 'revokeToken'],
      endpoint: [],
      subscription: ['end'],
    };
    /** Calls that need none of the streams that are cut. */
    const SERVED: Record<Kind, Answers> = {
      client: { history: '200', register: '200' },
      endpoint: { history: '200', register: '200', login: '200', introspect: '200' },
      subscription: { history: '200', login: '200', preview: '200' },
    };
    const OF_AUTH = new Set(['login', 'loginAtEndpoint', 'refresh', 'introspect', 'revokeToken', 'gateway']);
    const refusalOf = (call: string) => (OF_AUTH.has(call) ? '503 after 1' : `${MISSING} after 1`);

    /** Sends the calls of these names. */
    const ask = (standalone: Standalone, victim: Victim, names: readonly string[]) => {
      const { url } = standalone;
      const { client, endpoint, token, refreshToken } = victim;
      const { clientId } = client;
      const portal = Portal.of(standalone);
      const calls = {
        rename: () => portal.rename(clientId, 'Not to be written'),
        rotate: () => portal.rotate(clientId),
        assign: () => portal.assign(clientId, endpoint),
        unassign: () => portal.unassign(clientId, endpoint),
        revoke: () => portal.revoke(clientId),
        preview: () => portal.previewRevocation(clientId),
        draft: () => portal.draft('OAUTH2', clientId),
        history: () => portal.history(clientId),
        claim: () => Portal.of(standalone, { workspaceId: 'other' }).register('tides', { endpointUri: endpoint }),
        register: () => portal.register(endpoint),
        end: () => portal.end(endpoint),
        login: () => oauthLogin(url, client),
        loginAtEndpoint: () => oauthLogin(url, client, endpoint),
        refresh: () => refresh(url, client, refreshToken, endpoint),
        introspect: () => introspect(url, token, basicOf(client)),
        revokeToken: () => revokeToken(url, refreshToken, basicOf(client)),
        gateway: () => new GatewayDouble(standalone).check({ token, endpoint }),
      };
      return answersTo(
        Object.fromEntries(
          Object.entries(calls).flatMap(([name, call]) => (names.includes(name) ? [[name, call()] as const] : [])),
        ),
      );
    };
    const expectServed = async (standalone: Standalone, kind: Kind, victim: Victim) => {
      expect(await ask(standalone, victim, Object.keys(SERVED[kind]))).toEqual(SERVED[kind]);
    };

    it.each(CASES)(
      'a warm process goes on with what it knows when the stream of a %s is cut by %s, or refuses',
      async (kind, way) => {
        const victim = victimOf(kind, way);
        for (const [call, answer] of Object.entries(await ask(warm, victim, WRITES[kind]))) {
          expect([call, answer]).toEqual([call, refusalOf(call)]);
        }
        for (const [call, answer] of Object.entries(await ask(warm, victim, Object.keys(READS[kind])))) {
          const isFound = !DELETIONS.has(way) || call === 'gateway';
          expect([...(isFound ? [READS[kind][call]] : []), refusalOf(call)]).toContain(answer);
        }
        await expectServed(warm, kind, victim);
      },
    );

    it('a warm process tells of each stream once, and writes nothing to it', async () => {
      expect((await send('GET', warm.url, '/health/ready')).text).toContain('"event log":"down"');
      for (const [kind, way] of CASES) {
        const { stream } = victimOf(kind, way);
        const isTold = new RegExp(
          `"level":"error".*${stream}.*(is|are) missing.*"events are missing from the event log"`,
        );
        await warm.printed(isTold);
        expect(
          warm
            .output()
            .split('\n')
            .filter((line) => isTold.test(line)),
        ).toHaveLength(1);
      }
      expect(await written()).toEqual(writtenBefore);
    });

    describe('after a restart', () => {
      beforeAll(async () => {
        await warm.stop();
        warm = await Standalone.start({ dataDir: directory, env: onServer });
        await untilMissing(warm, CASES.length);
      });

      it.each(CASES)('every call that needs the stream of a %s is refused, if it is cut by %s', async (kind, way) => {
        const victim = victimOf(kind, way);
        const names = [...WRITES[kind], ...Object.keys(READS[kind])];
        const refused = Object.fromEntries(names.map((name) => [name, refusalOf(name)]));
        expect(await ask(warm, victim, names)).toEqual(refused);
        await expectServed(warm, kind, victim);
      });

      it('nothing is written to the streams, and all goes on with those that are whole again', async () => {
        expect(await written()).toEqual(writtenBefore);
        const whole = CASES.filter(([, way]) => way !== 'a tombstone');
        for (const [kind, way] of whole) await makeWhole(victimOf(kind, way).stream);
        await untilMissing(warm, KINDS.length);
        for (const [kind, way] of whole) {
          const names = [...WRITES[kind].slice(0, 1), ...Object.keys(READS[kind])];
          const answers = await ask(warm, victimOf(kind, way), names);
          for (const [call, answer] of Object.entries(answers))
            expect([call, answer]).not.toEqual([call, refusalOf(call)]);
        }
      });
    });
  });

  describe.each(['signingKeys', 'log'])('the stream %s', (stream) => {
    let warm: Standalone;
    let portal: Portal;
    let client: NewClient;
    let revoked: NewClient;

    beforeAll(async () => {
      useInstallation(stream);
      warm = await Standalone.startReady({ env: onServer });
      portal = Portal.of(warm);
      client = await portal.newClient('OAUTH2');
      await portal.register('weather');
      await portal.assign(client.clientId, 'weather');
      revoked = await portal.newClient('OAUTH2');
      await portal.revoke(revoked.clientId);
    });
    afterAll(() => warm.stop());

    // Stream `log` has one event, so `$maxCount` does not cut it.
    it.each(WAYS.filter((way) => stream !== 'log' || way !== '$maxCount'))(
      'cut by %s: no process starts, the running one refuses what needs it, and nothing is written',
      async (way) => {
        const login = await oauthLogin(warm.url, client, 'weather');
        const token = login.body.access_token;
        const isKnown = stream === 'log' || !HIDES_ALL.has(way);
        await cut(stream, way);
        await untilCut(stream);
        await untilMissing(warm, 1);
        const before = await written();
        await expect(Standalone.start({ dataDir: warm.dataDir, env: onServer })).rejects.toThrow(
          new RegExp(`HistoryMissing: .*${stream}.* (is|are) missing`),
        );

        const { gateway, jwks, ...answers } = await answersTo({
          login: oauthLogin(warm.url, client, 'weather'),
          introspect: introspect(warm.url, token, basicOf(client)),
          revoked: oauthLogin(warm.url, revoked),
          gateway: new GatewayDouble(warm).check({ token }),
          jwks: send('GET', warm.url, '/.well-known/jwks.json'),
          ...(stream === 'log' && {
            rename: portal.rename(client.clientId, 'Not to be written'),
            create: portal.create(),
            register: portal.register('tides'),
            revokeToken: revokeToken(warm.url, refreshTokenOf(login), basicOf(client)),
          }),
        });
        const refused = '503 after 1';
        expect(answers).toEqual({
          ...{ login: isKnown ? '200' : refused, introspect: isKnown ? '200' : refused, revoked: '401' },
          ...(stream === 'log' && {
            ...{ rename: `${MISSING} after 1`, create: `${MISSING} after 1`, register: `${MISSING} after 1` },
            revokeToken: refused,
          }),
        });
        expect(['200', refused]).toContain(gateway);
        expect(jwks).toBe(isKnown ? '200' : `${MISSING} after 1`);
        expect(await written()).toEqual(before);
        if (stream === 'signingKeys') {
          const answer = await revokeToken(warm.url, refreshTokenOf(login), basicOf(client));
          expect(answer.status).toBe(200);
        }

        if (way === 'a tombstone') return;
        await makeWhole(stream);
        await eventually(
          () => portal.rename(client.clientId, `Whole after ${way}`),
          ({ status }) => status === 200,
        );
        await untilMissing(warm, 0);
      },
    );
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
    const clients = await Promise.all(['1', '2', '3', '4'].map((name) => portal.newClient('OAUTH2', name)));
    for (const { clientId } of clients) for (const name of ['A', 'B', 'C']) await portal.rename(clientId, name);
    const [first, middle, last, assigned] = clients as [NewClient, NewClient, NewClient, NewClient];
    await portal.register('weather');
    await portal.assign(assigned.clientId, 'weather');
    const of = ({ clientId }: NewClient) => `stream = 'consumerClient-${clientId}'`;
    deleteRows(
      `(${of(first)} AND revision = 0) OR (${of(middle)} AND revision = 2) OR (${of(last)} AND revision > 1) OR
        (${of(assigned)} AND revision = 0)`,
    );
    expect((await portal.rename(last.clientId, 'Not to be written')).refusal).toBe(MISSING);
    await expectTold(warm, `events 2 to 3 of consumerClient-${last.clientId} are missing`);
    // Only the projector's thread, with a log of its own, reads the client of a subscription that has ended.
    expect((await portal.end('weather')).status).toBe(200);
    await warm.printed(`event 0 of consumerClient-${assigned.clientId} is missing`);
    await eventually(
      () => send('GET', warm.url, '/metrics'),
      ({ text }) => text.includes('event_log_streams_with_missing_events 2\n'),
    );
    const written = await rows();
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
      await expect(restart()).rejects.toThrow(`HistoryMissing: all events of ${stream} are missing`);
      expect(await rows()).toBe(written);
    },
  );
});
