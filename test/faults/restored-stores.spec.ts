import { copyFileSync, cpSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { readModels } from '#read-models';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { GatewayDouble } from '../support/api/gateway.js';
import { type Answer, eventually, send } from '../support/api/http.js';
import { oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { basicOf, introspect, revokeToken } from '../support/api/oauth.js';
import { Portal, readAfter } from '../support/api/portal.js';
import { eventsIn, expectReadModelsToBeTheFold, expectSoundLog, readModelsCaughtUp } from '../support/events/audit.js';
import { Cli } from '../support/processes/cli.js';
import { PROJECTIONS } from '../support/processes/projections.js';
import { Standalone } from '../support/processes/standalone.js';

let folder: string;
let dataDir: string;
let standalone: Standalone | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'restored-stores-'));
  dataDir = join(folder, 'data');
});
afterEach(async () => {
  await standalone?.kill();
  rmSync(folder, { recursive: true });
});

type Store = 'event-log' | 'read-models';

/** Copies a store's file. The standalone process (all apps in one) must be stopped, so that the file is complete. */
const backUp = (store: Store, from = dataDir): string => {
  const copy = join(folder, `${store}-${Math.random()}.db`);
  copyFileSync(join(from, `${store}.db`), copy);
  return copy;
};

const remove = (store: Store): void => {
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(dataDir, `${store}.db${suffix}`), { force: true });
};

const restore = (store: Store, copy: string): void => {
  remove(store);
  copyFileSync(copy, `${copy}.restored`);
  renameSync(`${copy}.restored`, join(dataDir, `${store}.db`));
};

/** Runs a standalone process (all apps in one) until `story` has finished. */
async function live<T>(
  story: (portal: Portal, running: Standalone) => Promise<T>,
  directory = dataDir,
  env: Readonly<Record<string, string>> = {},
): Promise<T> {
  const running = (standalone = await Standalone.start({ dataDir: directory, env }));
  const told = await story(Portal.of(running), running);
  expect(await running.stop()).toBe(0);
  standalone = undefined;
  return told;
}

const isReady = async (url: string): Promise<boolean> => (await send('GET', url, '/health/ready')).status === 200;

const untilReady = (url: string) =>
  eventually(
    () => isReady(url),
    (ready) => ready,
  );

const DOWN = [
  ...PROJECTIONS.map((name) => `"projection ${name}":"down"`),
  ...readModels.map(({ name }) => `"read model ${name}":"down"`),
];

/**
 * Expects that every projection asks for a rebuild, both in the readiness check and in the process's log, and that the
 * process, which has just started, was never ready.
 */
async function expectRebuildNeeded(running: Standalone, reason: RegExp): Promise<void> {
  const statuses = new Set<number>();
  await eventually(
    async () => {
      const answer = await send('GET', running.url, '/health/ready');
      statuses.add(answer.status);
      return answer;
    },
    ({ text }) => DOWN.every((check) => text.includes(check)),
  );
  expect([...statuses]).toEqual([503]);
  for (const name of PROJECTIONS) await running.printed(new RegExp(`${name} must be rebuilt: ${reason.source}`));
}

/** Expects that no query returns data of read models that belong to another log. */
async function expectNothingServed(portal: Portal, clientId: string, command: Answer<unknown>): Promise<void> {
  const queries = [undefined, readAfter(command)].flatMap((headers) => [
    portal.get(clientId, headers),
    portal.list({}, headers),
    portal.subscriptions({}, headers),
    portal.history(clientId, {}, headers),
  ]);
  for (const answer of await Promise.all(queries)) {
    expect([answer.refusal, answer.header('retry-after')]).toEqual(['503 READ_MODEL_REBUILD_NEEDED', '1']);
  }
}

describe('an event log that was restored', () => {
  it('to an older copy: the read models say that they must be rebuilt, and show no lost event', async () => {
    const kept = await live(async (portal, { url }) => {
      await untilReady(url);
      return portal.newClient('OAUTH2', 'Before the backup');
    });
    const older = backUp('event-log');
    const gone = await live(async (portal) => {
      const client = await portal.newClient('OAUTH2', 'After the backup');
      for (let count = 0; count < 5; count++) await portal.rename(kept.clientId, `Lost name ${count}`);
      await readModelsCaughtUp(dataDir);
      return client;
    });
    restore('event-log', older);

    await live(async (portal, running) => {
      await expectRebuildNeeded(running, /its checkpoint \d+ is past the end of the log/);
      expect(oauthErrorOf(await oauthLogin(running.url, gone)).error).toBe('invalid_client');
      expect((await oauthLogin(running.url, kept)).status).toBe(200);
      const renamed = await portal.rename(kept.clientId, 'After the restore');
      expect(renamed.body.client.revision).toBe(1);
      await expectNothingServed(portal, kept.clientId, renamed);
      // These events make the log longer than it was before the restore.
      for (let count = 0; count < 10; count++) await portal.rename(kept.clientId, `New name ${count}`);
    });
    await live(async (portal, running) => {
      await expectRebuildNeeded(running, /another event is at \d+ of the log/);
      await expectNothingServed(portal, kept.clientId, await portal.rename(kept.clientId, 'Last name'));
    });

    remove('read-models');
    await live(async (portal, { url }) => {
      await untilReady(url);
      await readModelsCaughtUp(dataDir);
      const { items } = (await portal.list()).body;
      expect(items.map(({ name }) => name)).toEqual(['Last name']);
    });
    const events = await eventsIn(dataDir);
    await expectSoundLog(events);
    await expectReadModelsToBeTheFold(dataDir, events);
  });

  it('from another log: the two histories are not mixed, and consistency tokens of the former log are refused', async () => {
    const ours = await live(async (portal, { url }) => {
      await untilReady(url);
      const client = await portal.newClient('OAUTH2', 'Of our log');
      await readModelsCaughtUp(dataDir);
      return client;
    });
    const elsewhere = join(folder, 'elsewhere');
    cpSync(dataDir, elsewhere, { recursive: true, filter: (path) => !path.includes('.db') });
    const theirs = await live((portal) => portal.newClient('OAUTH2', 'Of their log'), elsewhere);
    restore('event-log', backUp('event-log', elsewhere));

    await live(async (portal, running) => {
      await expectRebuildNeeded(running, /its checkpoint is of log/);
      const foreign = await portal.get(ours.clientId, { 'x-consistency-token': ours.token });
      expect(foreign.refusal).toBe('400 FOREIGN_CONSISTENCY_TOKEN');
      expect((await oauthLogin(running.url, theirs)).status).toBe(200);
      expect(oauthErrorOf(await oauthLogin(running.url, ours)).error).toBe('invalid_client');
      const renamed = await portal.rename(theirs.clientId, 'Of their log, here');
      await expectNothingServed(portal, ours.clientId, renamed);
    });
  });

  it('under the running process: no command is acknowledged that only the replaced file would hold', async () => {
    await live((portal) => portal.newClient());
    const older = backUp('event-log');
    const running = (standalone = await Standalone.startReady({ dataDir }));
    const portal = Portal.of(running);
    expect((await portal.create()).status).toBe(201);
    restore('event-log', older);
    const refused = await portal.create();
    expect([refused.refusal, refused.header('retry-after')]).toEqual(['503 LOG_UNAVAILABLE', '1']);
    await running.printed(/file was replaced or removed/);
  });
});

describe('an event log on EventStoreDB that was restored under the running process', () => {
  let file: string;
  let eventStore: EventStore;
  let env: Readonly<Record<string, string>>;

  beforeEach(async () => {
    file = join(folder, 'events');
    eventStore = await startEventStore({ file });
    env = { EVENTSTOREDB_URL: eventStore.url };
  });
  afterEach(() => eventStore.stop());

  const whileStopped = async (change: () => void) => {
    await eventStore.kill();
    change();
    await eventStore.restart();
  };
  /** Runs a command that must succeed. Returns what it prints to stdout. */
  const cli = async (...args: string[]) => {
    const { code, stdout, stderr } = await Cli.run(args, { DATA_DIR: dataDir, ...env });
    expect([args, code, code === 0 ? '' : stderr]).toEqual([args, 0, '']);
    return stdout;
  };
  const eventIds = async () => {
    const log = openEventStoreDbLog({ url: eventStore.url });
    const events = await log.readAll({ limit: Infinity });
    await log.close();
    return events.map(({ eventId }) => eventId);
  };
  /** Waits until the service answers other than 503. */
  const answered = <T>(ask: () => Promise<Answer<T>>) => eventually(ask, ({ status }) => status !== 503);

  it('serves and writes nothing until an operator has adopted it, who learns which revocations are lost', async () => {
    const running = (standalone = await Standalone.startReady({ dataDir, env }));
    const portal = Portal.of(running);
    const { url } = running;
    await portal.register('sub_weather', { endpointUri: 'weather' });
    const [kept, revoked] = [await portal.newClient('OAUTH2', 'Kept'), await portal.newClient('OAUTH2', 'Revoked')];
    await portal.assign(kept.clientId, 'sub_weather');
    await portal.revoke((await portal.newClient('OAUTH2', 'Revoked before the backup')).clientId);
    const token = (await oauthLogin(url, kept, 'weather')).body.access_token;
    const gateway = new GatewayDouble(running);
    expect(await gateway.ask({ token })).toBe('200 GOOD');
    const backup = `${file}.backup`;
    await whileStopped(() => {
      cpSync(file, backup, { recursive: true });
    });
    await answered(() => portal.revoke(revoked.clientId, 'Leaked'));
    await portal.revoke((await portal.newClient('OAUTH2', 'Of the lost days')).clientId);
    const last = await portal.rename(kept.clientId, 'Lost name');
    await answered(() => portal.list({}, readAfter(last)));

    await whileStopped(() => {
      rmSync(file, { recursive: true });
      cpSync(backup, file, { recursive: true });
    });
    const restored = await eventIds();
    await running.printed(/the event log was restored to an older state/);
    const commands = [await portal.create(), await portal.rename(kept.clientId, 'Not to be written')];
    for (const answer of commands) {
      expect([answer.refusal, answer.header('retry-after')]).toEqual(['503 LOG_RESTORED', '1']);
    }
    const answers = [
      await oauthLogin(url, kept),
      await oauthLogin(url, revoked),
      await introspect(url, token, basicOf(kept)),
      await revokeToken(url, token, basicOf(kept)),
    ];
    expect(answers.map((answer) => [answer.status, answer.header('retry-after')])).toEqual(
      answers.map(() => [503, '1']),
    );
    expect(await gateway.ask({ token })).toBe('503 UNAVAILABLE');
    expect((await send('GET', url, '/health/ready')).text).toContain('"event log":"down"');
    expect((await send('GET', url, '/metrics')).text).toContain('event_log_restored 1');
    expect(await eventIds()).toEqual(restored);
    const told = running.output().match(/"level":"error".*the event log was restored to an older state/g);
    expect(told).toHaveLength(1);

    const lost = new RegExp(`^CLIENT.*\n${revoked.clientId}  \\S+  +\\S+  Revoked  Leaked\n$`);
    expect(await cli('log', 'adopt', '--list-revoked')).toMatch(lost);
    expect(await eventIds()).toEqual(restored);
    expect(await cli('log', 'adopt', '--reason', 'The backup of Sunday')).toMatch(lost);
    expect(await cli('log', 'adopt', '--list')).toMatch(/^ADOPTED.*\n\S+ {2}\d+ {2}cli {2}The backup of Sunday\n$/);
    const elsewhere = { ...env, DATA_DIR: mkdtempSync(join(folder, 'elsewhere-')) };
    const unseen = await Cli.run(['log', 'adopt', '--reason', 'From another machine'], elsewhere);
    expect([unseen.code, unseen.stdout]).toEqual([5, '']);
    expect(unseen.stderr).toMatch(/The log is adopted, but it can't be told which .* run 'log adopt --list-revoked'/);
    expect(await cli('log', 'adopt', '--list')).toContain('From another machine');
    expect((await answered(() => oauthLogin(url, kept, 'weather'))).status).toBe(200);
    expect((await oauthLogin(url, revoked)).status).toBe(200);
    expect(await gateway.ask({ token })).toBe('200 GOOD');
    expect((await portal.rename(kept.clientId, 'New name')).status).toBe(200);
    await portal.revoke(revoked.clientId, 'Leaked');
    expect((await oauthLogin(url, revoked)).status).toBe(401);

    await eventually(
      () => portal.list(),
      ({ status }) => status === 503,
    );
    expect((await portal.list()).refusal).toBe('503 READ_MODEL_REBUILD_NEEDED');
    for (const name of PROJECTIONS) await cli('projections', 'rebuild', name, '--accept-differences', '--grace', '0');
    await running.ready();
    expect((await send('GET', url, '/metrics')).text).toContain('event_log_restored 0');
    const { items } = (await portal.list()).body;
    expect(items.map(({ name }) => name)).toEqual(['New name']);
    expect(await running.stop()).toBe(0);
  });

  it('is used at once by a process that starts after the restore', async () => {
    await live(async (portal) => portal.newClient(), undefined, env);
    const backup = `${file}.backup`;
    await whileStopped(() => {
      cpSync(file, backup, { recursive: true });
    });
    await live((portal) => portal.newClient('OAUTH2', 'Of the lost days'), undefined, env);
    await whileStopped(() => {
      rmSync(file, { recursive: true });
      cpSync(backup, file, { recursive: true });
    });
    await live(
      async (portal, running) => {
        expect((await portal.create()).status).toBe(201);
        expect(running.output()).not.toContain('the event log was restored');
      },
      undefined,
      env,
    );
  });
});

describe('a read store', () => {
  /** Sends commands that give work to every projection and to the process manager. */
  async function use(portal: Portal, round: string): Promise<void> {
    await portal.register(`weather-${round}`);
    const clients = await Promise.all(Array.from({ length: 5 }, () => portal.newClient('OAUTH2', `Round ${round}`)));
    for (const { clientId } of clients) await portal.assign(clientId, `weather-${round}`);
    await portal.revoke((clients[0] as { clientId: string }).clientId);
    const ended = await portal.end(`weather-${round}`);
    await eventually(
      () => portal.clientsOf(`weather-${round}`, {}, readAfter(ended)),
      ({ status, text }) => status === 200 && text === '{"items":[]}',
    );
  }

  it.each([
    [
      'restored to an older copy',
      (copy: string) => {
        restore('read-models', copy);
      },
    ],
    [
      'removed',
      () => {
        remove('read-models');
      },
    ],
  ])('that was %s catches up, whether the process was stopped or running', async (_, change) => {
    await live(async (portal, { url }) => {
      await untilReady(url);
      await use(portal, 'one');
      await readModelsCaughtUp(dataDir);
    });
    const older = backUp('read-models');
    await live((portal) => use(portal, 'two'));
    change(older);
    await live(async (portal, { url }) => {
      await untilReady(url);
      await use(portal, 'three');
      await readModelsCaughtUp(dataDir);
    });
    const before = await eventsIn(dataDir);
    await expectReadModelsToBeTheFold(dataDir, before);

    await live(async (portal, { url }) => {
      await untilReady(url);
      change(older);
      await readModelsCaughtUp(dataDir);
      await untilReady(url);
      await use(portal, 'four');
      await readModelsCaughtUp(dataDir);
    });
    const events = await eventsIn(dataDir);
    await expectSoundLog(events);
    await expectReadModelsToBeTheFold(dataDir, events);
    // The process manager reads the ends of subscriptions again, but unassigns no client twice.
    const unassigned = events.filter(({ type }) => type === 'ConsumerClientUnassignedFromSubscription');
    expect(unassigned).toHaveLength(4 * 4);
  });
});
