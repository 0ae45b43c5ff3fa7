import { type EventLog, RebuildNeeded } from '#event-log';
import {
  type BuildName,
  type DocumentWrite,
  type Load,
  NotReady,
  projections,
  ReadModelQueries,
  type ReadStore,
  rebuild,
  ServedProjection,
  SpotCheckFailed,
} from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { ClientBuilds, gate } from '../../../../test/replay/client-builds.js';
import { clientNamed, silent, type Stage, until } from '../../../../test/replay/stage.js';

const { clients } = projections;

describe('the builds of a projection', () => {
  let builds: ClientBuilds;
  let stage: Stage;

  beforeEach(async () => {
    builds = await ClientBuilds.open();
    ({ stage } = builds);
  });
  afterEach(() => builds.close());

  it('begin with one that is served once it has caught up, even if several processes start', async () => {
    for (let n = 0; n < 5; n++) await stage.create(n);
    const queries = new ReadModelQueries(stage.stores);
    await expect(queries.at(clients)).rejects.toThrow(NotReady);
    builds.serve();
    builds.serve();
    await builds.serveNow();
    expect(await builds.names()).toEqual(['clients_v4_1']);
    await builds.expectPlainFold('clients_v4_1');
    await (await queries.at(clients)).get(clientNamed(0));
  });

  it('are never served before they have caught up', async () => {
    await stage.create('a');
    const { passed, open } = gate();
    let looks = 0;
    const store = Object.assign(Object.create(stage.store) as ReadStore, {
      served: (name: string, version: number) => {
        looks += 1;
        return stage.store.served(name, version);
      },
      load: async (...call: Parameters<ReadStore['load']>) => {
        const loaded = await stage.store.load(...call);
        await passed;
        return loaded;
      },
    });
    const options = { ...stage.stores, store, projection: clients, observer: silent, checkMs: 1 };
    builds.running.push(new ServedProjection(options).run(builds.stop.signal));
    try {
      await until(async () => (await stage.store.count('clients_v4_1').catch(() => 0)) === 1);
      const looksBefore = looks;
      await until(() => looks > looksBefore + 10 || builds.served().then((build) => build !== undefined));
      expect(await builds.served()).toBeUndefined();
    } finally {
      open(); // The projector must not wait at the gate when the test has failed, because its end is waited for.
    }
    await until(async () => (await builds.served()) !== undefined);
  });

  it('are served only if they equal the fold of the log', async () => {
    for (let n = 0; n < 30; n++) await stage.create(n);
    await stage.project(clients);
    await builds.corrupt('clients_v4_1', 7);
    const stops: unknown[] = [];
    const process = builds.serve({ ...silent, stopped: (error) => stops.push(error) });
    await until(() => stops.length > 0);
    expect(stops).toEqual([expect.any(SpotCheckFailed)]);
    expect(process.status()).toMatchObject({ state: 'stopped', error: stops[0] });
    expect(String(stops[0])).toContain(`30 documents where the log makes 30; different: 1, such as ${clientNamed(7)}`);
    expect(await builds.served()).toBeUndefined();

    expect(await builds.rebuild()).toMatchObject({ build: 'clients_v4_2', replaced: undefined, documents: 30 });
    await until(() => process.status()?.state === 'live');
    await builds.expectPlainFold('clients_v4_2');
  });

  it('are checked without reading the log again, and not served if the store has lost a write', async () => {
    for (let n = 0; n < 30; n++) await stage.create(n);
    let read = 0;
    const log = Object.create(stage.log, {
      subscribe: {
        value: async function* (...call: Parameters<EventLog['subscribe']>) {
          for await (const batch of stage.log.subscribe(...call)) {
            read += batch.events.length;
            yield batch;
          }
        },
      },
    }) as EventLog;
    let losesWrites = true;
    const store = Object.create(stage.store, {
      write: {
        value: (build: BuildName, writes: readonly DocumentWrite[]) =>
          stage.store.write(build, losesWrites ? writes.slice(1) : writes),
      },
      load: {
        value: (build: BuildName, load: Load) =>
          stage.store.load(build, losesWrites ? { ...load, writes: load.writes.slice(1) } : load),
      },
    }) as ReadStore;
    const stops: unknown[] = [];
    const observer = { ...silent, stopped: (error: unknown) => stops.push(error) };
    const options = { ...stage.stores, log, store, projection: clients, observer, checkMs: 10 };
    builds.running.push(new ServedProjection(options).run(builds.stop.signal));
    await until(() => stops.length > 0);
    expect(stops).toEqual([expect.any(SpotCheckFailed)]);
    expect(String(stops[0])).toContain('29 documents where the log makes 30; different: 1');
    expect(await builds.served()).toBeUndefined();
    expect(read).toBe((await stage.events()).length);

    losesWrites = false;
    expect(await rebuild({ ...options, signal: builds.stop.signal, graceMs: 0 })).toMatchObject({ different: 0 });
    await builds.expectPlainFold('clients_v4_2');
  });

  it('are switched by a stopped process as soon as any process has rebuilt them', async () => {
    await stage.create('a');
    const foreign = { logId: '00000000-0000-4000-8000-000000000000', position: '0'.repeat(20), eventId: 'e' };
    await stage.store.prepare('clients_v4_1', clients);
    await stage.store.advance('clients_v4_1', undefined, foreign);
    await stage.store.serve(clients, undefined, 'clients_v4_1');
    const stops: unknown[] = [];
    const process = builds.serve({ ...silent, stopped: (error) => stops.push(error) });
    await until(() => stops.length > 0);
    expect(stops[0]).toBeInstanceOf(RebuildNeeded);
    expect(process.status()).toMatchObject({ state: 'stopped', error: stops[0] });

    expect(await builds.rebuild()).toMatchObject({ notCompared: expect.stringContaining('of log 00000000') as string });
    await until(() => process.status()?.state === 'live');
    expect(process.status()?.build).toBe('clients_v4_2');
    await builds.expectPlainFold('clients_v4_2');
  });

  it('stay dropped when a rebuild has served another build first', async () => {
    await stage.create('a');
    let overtaking: ReturnType<typeof rebuild> | undefined;
    const store = Object.create(stage.store, {
      serve: {
        value: async (...call: Parameters<ReadStore['serve']>) => {
          await (overtaking ??= builds.rebuild());
          return stage.store.serve(...call);
        },
      },
    }) as ReadStore;
    const served = new ServedProjection({
      ...{ ...stage.stores, store, projection: clients, observer: silent, checkMs: 10 },
    });
    builds.running.push(served.run(builds.stop.signal));
    await until(() => served.status()?.build === 'clients_v4_2');
    expect(await builds.names()).toEqual(['clients_v4_2']);
  });

  it('wait and report it while the store refuses a call for a lasting reason', async () => {
    await stage.create('a');
    const refused = new Error('MongoDB refused it: IndexKeySpecsConflict');
    let isRefused = true;
    const store = Object.create(stage.store, {
      prepareToLoad: {
        value: (...call: Parameters<ReadStore['prepareToLoad']>) =>
          isRefused ? Promise.reject(refused) : stage.store.prepareToLoad(...call),
      },
    }) as ReadStore;
    const told: unknown[] = [];
    const observer = { ...silent, stopped: (error: unknown) => told.push(error) };
    const options = { ...stage.stores, store, projection: clients, observer, checkMs: 10, failurePauseMs: 10 };
    const served = new ServedProjection(options);
    builds.running.push(served.run(builds.stop.signal));
    await until(() => Promise.resolve(served.status()?.state === 'stopped'));
    expect(served.status()).toMatchObject({ projection: 'clients', build: 'clients_v4_1', error: refused });
    isRefused = false;
    await until(async () => (await builds.served()) !== undefined);
    expect(served.status()).toMatchObject({ state: 'live' });
    expect(told).toEqual([refused]);
  });

  it('name the refusal while the store refuses a write, and go on when it is accepted', async () => {
    const former = await builds.serveNow();
    const refused = new Error('MongoDB refused it: Unauthorized');
    let isRefused = true;
    const store = Object.create(stage.store, {
      write: {
        value: (...call: Parameters<ReadStore['write']>) =>
          isRefused ? Promise.reject(refused) : stage.store.write(...call),
      },
    }) as ReadStore;
    const options = { ...stage.stores, store, projection: clients, observer: silent, checkMs: 10, seizeLease: true };
    const served = new ServedProjection(options);
    builds.running.push(served.run(builds.stop.signal));
    await until(() => served.status() !== undefined && former.status() === undefined);
    await stage.create('a');
    await until(() => Promise.resolve(served.outage === refused));
    isRefused = false;
    await until(() => Promise.resolve(served.outage === undefined && served.status()?.state === 'live'));
    await builds.expectPlainFold('clients_v4_1');
  });

  it('are built again in a read store that was emptied', async () => {
    const empty = stage.snapshot();
    await stage.create('a');
    await builds.serveNow();
    await empty();
    expect(await builds.served()).toBeUndefined();
    await until(async () => (await builds.served()) !== undefined);
    await builds.expectPlainFold('clients_v4_1');
  });

  it('stay right while another process waits to feed them', async () => {
    await stage.create('a');
    await builds.serveNow();
    const other = await openSqliteReadStore({ file: `${stage.directory}/read-models.db` });
    builds.running.push(
      new ServedProjection({ ...stage.stores, store: other, projection: clients, observer: silent }).run(
        builds.stop.signal,
      ),
    );
    for (let n = 0; n < 30; n++) await stage.create(n);
    const { position } = await stage.rename('a', 'Known to both');
    await until(async () => (await other.checkpoint('clients_v4_1'))?.position === position);
    await builds.expectPlainFold('clients_v4_1');
    builds.stop.abort();
    await Promise.all(builds.running);
    await other.close();
  });
});
