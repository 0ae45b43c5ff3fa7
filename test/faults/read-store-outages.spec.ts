import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describeWithMongo, describeWithOwnMongo } from '../servers/mongodb/mongo-server.js';
import { type Answer, eventually } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { type Portal, readAfter } from '../support/api/portal.js';
import { PortalLoad } from '../support/load/portal-load.js';
import { Cli } from '../support/processes/cli.js';
import { ProductionSite } from '../support/processes/production-site.js';
import { PROJECTIONS } from '../support/processes/projections.js';
import type { Service } from '../support/processes/service.js';
import type { ProductionPairOptions } from '../support/processes/store-pair.js';

/** To repeat the commands of a failed run, set `OUTAGE_SEED` to the seed in the name of the failed test. */
const seed = Number(process.env.OUTAGE_SEED ?? Math.floor(Math.random() * 2 ** 32));

let site: ProductionSite;
let management: Service;
let projector: Service;
let auth: Service;
let portal: Portal;

async function startAll(options?: ProductionPairOptions): Promise<void> {
  site = await ProductionSite.create(options);
  [management, projector, auth] = await Promise.all([
    site.start('management'),
    site.start('projector'),
    site.start('auth'),
  ]);
  await Promise.all([management.ready(), projector.ready(), auth.ready()]);
  portal = await site.portal(management);
}

/** Returns the errors in the process's log. An outage may cause warnings, but no errors. */
const errorsOf = ({ output }: Service): string[] =>
  output()
    .split('\n')
    .filter((line) => line.includes('"level":"error"'));

const replace = (file: string, copy: string | undefined): void => {
  rmSync(file, { recursive: true });
  if (copy !== undefined) cpSync(copy, file, { recursive: true });
};

describeWithOwnMongo('MongoDB under load', () => {
  beforeEach(() => startAll({ killsMongo: true }));
  afterEach(() => site.remove());

  /** Kills the server, changes the server's files, and starts the server again. */
  async function whileDown(load: PortalLoad, change: (file: string) => void): Promise<void> {
    const { mongo, files } = site.pair;
    await mongo.kill();
    change(files.mongo);
    await load.waitForRefusals(4);
    await mongo.restart();
    await load.waitForReads(30);
  }

  it.each<[string, (file: string, backup: string) => void]>([
    ['is killed, and comes back without its last seconds', () => undefined],
    [
      'comes back empty',
      (file) => {
        replace(file, undefined);
      },
    ],
    ['is restored to an older copy', replace],
  ])(`%s: no stale read, and in the end nothing is missing [OUTAGE_SEED=${seed}]`, async (_, change) => {
    const load = new PortalLoad({ writer: portal, readers: [portal], seed });
    await load.waitForReads(50);
    const backup = `${site.pair.files.mongo}.backup`;
    await whileDown(load, (file) => {
      cpSync(file, backup, { recursive: true });
    });
    await load.waitForReads(100);
    await whileDown(load, (file) => {
      change(file, backup);
    });
    await load.stop();
    expect([...load.unexpected, ...errorsOf(management), ...errorsOf(projector)]).toEqual([]);
    await site.expectAllToBeRight();
    await Promise.all([management.ready(), projector.ready()]);
  });
});

describeWithMongo('EventStoreDB', () => {
  beforeEach(() => startAll());
  afterEach(() => site.remove());

  const stopped = () =>
    Promise.all(PROJECTIONS.map((name) => projector.metric(`projection_stopped{projection="${name}"}`)));

  const expectRebuildNeeded = (answer: Answer<unknown>) => {
    expect([answer.refusal, answer.header('retry-after')]).toEqual(['503 READ_MODEL_REBUILD_NEEDED', '1']);
  };

  it('is restored to an older copy and adopted: every projection says that it must be rebuilt, and shows nothing stale', async () => {
    const { eventStore, files } = site.pair;
    const kept = await portal.newClient('OAUTH2', 'Before the backup');
    await eventStore.kill();
    const backup = join(files.eventStore, '..', 'backup.jsonl');
    cpSync(files.eventStore, backup, { recursive: true });
    await eventStore.restart();
    await management.ready();
    const lost = await eventually(
      () => portal.create({ name: 'After the backup' }),
      ({ status }) => status !== 503,
    );
    for (let count = 0; count < 10; count++) await portal.rename(lost.body.client.clientId, `Lost name ${count}`);
    const last = await portal.rename(lost.body.client.clientId, 'The last lost name');
    await eventually(
      () => portal.get(lost.body.client.clientId, readAfter(last)),
      ({ status }) => status === 200,
    );

    await eventStore.kill();
    replace(files.eventStore, backup);
    await eventStore.restart();
    for (const service of [management, projector, auth]) {
      await service.printed('the event log was restored to an older state');
    }
    expect((await portal.rename(kept.clientId, 'Not to be written')).refusal).toBe('503 LOG_RESTORED');
    expect((await oauthLogin(auth.url, kept)).status).toBe(503);
    expect((await auth.readiness()).text).toContain('"event log":"down"');
    expect((await Cli.run(['log', 'adopt', '--reason', 'An exercise'], site.pair.env)).code).toBe(0);
    await auth.ready();
    expect((await oauthLogin(auth.url, kept)).status).toBe(200);
    const renamed = await eventually(
      () => portal.rename(kept.clientId, 'After the restore'),
      ({ status }) => status !== 503,
    );
    expectRebuildNeeded(await portal.get(kept.clientId, readAfter(renamed)));
    expect((await portal.rename(lost.body.client.clientId, 'Of no past')).status).toBeGreaterThanOrEqual(400);
    await eventually(stopped, (figures) => figures.every((figure) => figure === 1));
    const { status, text } = await projector.readiness();
    expect(status).toBe(503);
    for (const name of PROJECTIONS) {
      expect(text).toContain(`"projection ${name}":"down"`);
      await projector.printed(new RegExp(`${name} must be rebuilt: its checkpoint \\S+ is past the end`));
    }
    expectRebuildNeeded(await portal.get(lost.body.client.clientId));
    expectRebuildNeeded(await portal.list());
  });
});
