import { randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBookOfRecord } from '#event-log';
import { allProjections } from '#process-managers';
import { projections, type ReadStore } from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { eventually } from '../support/api/http.js';
import { Portal, readAfter } from '../support/api/portal.js';
import { eventsIn, withEventLog } from '../support/events/audit.js';
import { Cli, type CliResult } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

const { clients } = projections;

let directory: string;
let service: Standalone;
let portal: Portal;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'projections-cli-'));
  service = await Standalone.startReady({ dataDir: directory });
  portal = Portal.of(service);
});
afterEach(async () => {
  await service.stop();
  await rm(directory, { recursive: true });
});

const now = () => new Date();

const cli = (...args: string[]): Promise<CliResult> => Cli.run(['projections', ...args], { DATA_DIR: directory });

/** Resolves to the rows that `projections list` prints: projection, version, build and so on. */
const listed = async (): Promise<string[][]> => {
  const { code, stdout } = await cli('list');
  expect(code).toBe(0);
  const [, ...rows] = stdout.trimEnd().split('\n');
  return rows.map((row) => row.split(/\s{2,}/));
};

async function withReadStore(use: (store: ReadStore) => Promise<void>): Promise<void> {
  const store = await openSqliteReadStore({ file: join(directory, 'read-models.db') });
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

/** Changes the client's name in the served documents only, so that the documents differ from the log. */
const spoil = (clientId: string) =>
  withReadStore(async (store) => {
    const build = await store.served(clients.name, clients.version);
    if (build === undefined) throw new Error('No build of clients is served');
    const [stored] = await store.read<object>(build, [clientId]);
    if (!stored) throw new Error(`There is no document of ${clientId}`);
    const spoilt = { ...stored, doc: { ...stored.doc, name: 'Spoilt' }, expected: stored.position };
    expect(await store.write(build, [spoilt])).toEqual([]);
  });

describe('an operator', () => {
  it('lists every projection with its served build, its position and its projector', async () => {
    const rows = await listed();
    expect(rows.map(([name, version, build, served]) => [name, version, build, served])).toEqual(
      allProjections.map(({ projection: { name, version } }) => [
        name,
        String(version),
        `${name}_v${version}_1`,
        'served',
      ]),
    );
    for (const [, , , , position, lease] of rows) {
      expect(position).toMatch(/^\d{20}$/);
      expect(lease).toMatch(/^[0-9a-f-]{36}, turn \d+$/);
    }
  });

  it('sees how far each build is behind the log, and why it does not go on', async () => {
    const states = async () => {
      const { code, stdout } = await cli('list', '--json');
      expect(code).toBe(0);
      return JSON.parse(stdout) as { projection: string; lagSeconds: number | null; state: string; reason?: string }[];
    };
    const stateOf = async (name: string) => (await states()).find(({ projection }) => projection === name);
    const client = await portal.newClient();
    await portal.get(client.clientId, readAfter(await portal.rename(client.clientId, 'Importer')));
    const current = await eventually(
      () => stateOf('clients'),
      (found) => found?.state === 'CURRENT',
    );
    expect(current).toMatchObject({ lagSeconds: 0 });

    await service.stop();
    await withEventLog(directory, async (log) => {
      const stream = `consumerClient-${client.clientId}`;
      const [last] = await log.readStream(stream, { direction: 'backwards', limit: 1 });
      if (!last) throw new Error('The client has no event');
      const unknown = { ...last, eventId: randomUUID(), type: 'ConsumerClientTeleported' };
      await log.append(stream, last.revision, [unknown]);
    });
    expect(await stateOf('clients')).toMatchObject({
      state: 'STOPPED',
      lagSeconds: expect.any(Number) as number,
      reason: expect.stringContaining('ConsumerClientTeleported') as string,
    });
    expect((await listed()).find(([name]) => name === 'clients')?.at(-2)).toBe('STOPPED');
  });

  it('compares the served documents with the log, sees which differ, and repairs them by a rebuild', async () => {
    const [importer, planner] = [await portal.newClient(), await portal.newClient()];
    await portal.get(planner.clientId, readAfter(await portal.rename(planner.clientId, 'Trip planner')));
    const same = await cli('compare', 'clients');
    expect([same.code, same.stdout]).toEqual([0, 'clients: 2 documents, 0 different from the log\n']);

    await spoil(importer.clientId);
    const differs = await cli('compare', 'clients');
    expect([differs.code, differs.stdout]).toEqual([
      2,
      `clients: 2 documents, 1 different from the log\n${importer.clientId}\n`,
    ]);
    expect((await listed()).filter(([name]) => name === 'clients')).toHaveLength(1);

    const refused = await cli('rebuild', 'clients', '--grace', '0');
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(importer.clientId)]);
    expect((await portal.get(importer.clientId)).body.name).toBe('Spoilt');

    const rebuilt = await cli('rebuild', 'clients', '--accept-differences', '--grace', '1');
    expect([rebuilt.code, rebuilt.stdout]).toEqual([0, 'clients is served from clients_v4_2\n']);
    expect(rebuilt.stderr).toContain('Switched from clients_v4_1 (2 documents compared, 1 different)');
    expect((await portal.get(importer.clientId)).body.name).toBe(importer.name);
    const renamed = await portal.rename(importer.clientId, 'Fed by the service again');
    const read = await eventually(
      () => portal.get(importer.clientId, readAfter(renamed)),
      ({ status }) => status !== 503,
    );
    expect(read.body.name).toBe('Fed by the service again');
    expect((await listed()).flatMap(([name, , build]) => (name === 'clients' ? [build] : []))).toEqual([
      'clients_v4_2',
    ]);
    expect((await cli('compare', 'clients')).code).toBe(0);
  });

  it('hears from a comparison that a projection must be rebuilt, if the log was restored to an older state', async () => {
    const client = await portal.newClient();
    const log = join(directory, 'event-log.db');
    await service.stop();
    await copyFile(log, `${log}.backup`);
    service = await Standalone.startReady({ dataDir: directory });
    portal = Portal.of(service);
    await portal.get(client.clientId, readAfter(await portal.rename(client.clientId, 'After the backup')));
    await service.stop();
    await rename(`${log}.backup`, log);

    const { code, stdout, stderr } = await cli('compare', 'clients');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^clients must be rebuilt: its checkpoint \d+ is past the end of the log$/m);
    const row = (await listed()).find(([name]) => name === 'clients');
    expect(row?.slice(-2)).toEqual(['REBUILD_NEEDED', expect.stringContaining('past the end of the log')]);
    const rebuilt = await cli('rebuild', 'clients', '--grace', '0');
    expect([rebuilt.code, rebuilt.stdout]).toEqual([0, 'clients is served from clients_v4_2\n']);
    expect((await cli('compare', 'clients')).stdout).toBe('clients: 1 document, 0 different from the log\n');
  });

  it('rebuilds the process manager’s model, and it still unassigns clients of an ended subscription', async () => {
    await portal.register('sub_weather', { endpointUri: 'weather' });
    const client = await portal.newClient();
    await portal.assign(client.clientId, 'sub_weather');
    await service.stop();
    await withEventLog(directory, async (log) => {
      const { subscriptions } = await openBookOfRecord(log, now);
      const [commandId, at] = [randomUUID(), now().toISOString()];
      await subscriptions.execute(
        'sub_weather',
        { type: 'EndSubscription', workspaceId: 'acme', reason: 'contract over', at },
        {
          context: {
            ...{ commandId, commandHash: '', workspaceId: 'acme', correlationId: commandId, causationId: commandId },
            actor: { subject: 'portal', roles: [], via: 'http' },
          },
        },
      );
    });
    const unassignments = async () =>
      (await eventsIn(directory)).filter(({ type }) => type === 'ConsumerClientUnassignedFromSubscription');

    const behind = await cli('compare', 'assignments');
    expect([behind.code, behind.stdout]).toEqual([0, 'assignments: 2 documents, 0 different from the log\n']);
    expect(await unassignments()).toEqual([]);

    const rebuilt = await cli('rebuild', 'assignments', '--grace', '0');
    expect([rebuilt.code, rebuilt.stdout]).toEqual([0, 'assignments is served from assignments_v2_2\n']);
    // The command line sends no commands for the process manager. The service finds the work in the new build.
    expect(await unassignments()).toEqual([]);
    service = await Standalone.startReady({ dataDir: directory });
    const sent = await eventually(unassignments, ({ length }) => length > 0);
    expect(sent.map(({ stream, metadata }) => [stream, metadata.actor.via])).toEqual([
      [`consumerClient-${client.clientId}`, 'process-manager'],
    ]);
  });

  it('gets a clear error for a projection that can’t be rebuilt', async () => {
    const unknown = await cli('rebuild', randomUUID());
    expect([unknown.code, unknown.stderr]).toEqual([64, expect.stringContaining('clients, subscriptions, history')]);
    const empty = await mkdtemp(join(tmpdir(), 'projections-cli-'));
    const { code, stderr } = await Cli.run(['projections', 'compare', 'clients'], { DATA_DIR: empty });
    const file = join(empty, 'event-log.db');
    expect([code, stderr]).toEqual([78, `DATA_DIR has no event log (${file}): start the service first\n`]);
    await rm(empty, { recursive: true });
  });
});
