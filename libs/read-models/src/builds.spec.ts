import { EventEmitter, once } from 'node:events';
import {
  type BuildName,
  type ClientDocument,
  type ProjectionObserver,
  type ReadStore,
  type RebuildReport,
  BuildsDiffer,
  NotReady,
  ReadModelQueries,
  RebuildNeeded,
  RebuildOvertaken,
  SpotCheckFailed,
  ServedProjection,
  clients,
  compareBuilds,
  isPassed,
  rebuild,
  spotCheck,
} from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { Stage, clientNamed, plainFold, silent, storedDocuments, until } from '../../../test/replay/stage.js';
import { endOfLog } from '../../../test/support/end-of-log.js';

describe('the builds of a projection', () => {
  let stage: Stage;
  let stop: AbortController;
  let running: Promise<unknown>[];

  beforeEach(async () => {
    stage = await Stage.open();
    stop = new AbortController();
    running = [];
  });

  afterEach(async () => {
    stop.abort();
    await Promise.allSettled(running);
    await stage.close();
  });

  /** As a process's projector does. */
  const serve = (observer: ProjectionObserver = silent) => {
    const served = new ServedProjection({ ...stage.stores, projection: clients, observer, checkMs: 10 });
    running.push(served.run(stop.signal));
    return served;
  };
  const serveNow = async () => {
    const served = serve();
    await until(async () => (await servedBuild()) !== undefined);
    return served;
  };
  const servedBuild = () => stage.store.served(clients.name, clients.version);
  const builds = async () => (await stage.store.builds(clients.name, clients.version)).map(({ build }) => build);
  const rebuildClients = (options: Partial<Parameters<typeof rebuild<ClientDocument>>[0]> = {}) => {
    const report = rebuild({
      ...{ ...stage.stores, projection: clients, observer: silent, signal: stop.signal, graceMs: 0 },
      ...options,
    });
    running.push(report);
    return report;
  };
  const expectPlainFold = async (build: BuildName) => {
    expect(await storedDocuments(stage.store, build)).toEqual(plainFold(clients, await stage.events()));
  };
  /** Holds a projector up after its first batch. */
  const gate = () => {
    const opened = new EventEmitter();
    return { passed: once(opened, 'open').then(() => undefined), open: () => opened.emit('open') };
  };
  /** A document that no fold makes. */
  const corrupt = async (build: BuildName, label: string | number) => {
    const [stored] = await stage.store.read<ClientDocument>(build, [clientNamed(label)]);
    if (!stored) throw new Error('no such document');
    const doc = { ...stored.doc, name: 'Not by any event' };
    expect(await stage.store.write(build, [{ ...stored, doc, expected: stored.position }])).toEqual([]);
  };

  it('begin with one that is served once it has caught up, also when several processes start', async () => {
    for (let n = 0; n < 5; n++) await stage.create(n);
    const queries = new ReadModelQueries(stage.stores);
    await expect(queries.at(clients)).rejects.toThrow(NotReady);
    serve();
    serve();
    await serveNow();
    expect(await builds()).toEqual(['clients_v1_1']);
    await expectPlainFold('clients_v1_1');
    await (await queries.at(clients)).get(clientNamed(0));
  });

  it('are not served before they have caught up, however often one looks', async () => {
    await stage.create('a');
    const { passed, open } = gate();
    let looks = 0;
    const store = Object.assign(Object.create(stage.store) as ReadStore, {
      served: (name: string, version: number) => {
        looks += 1;
        return stage.store.served(name, version);
      },
    });
    const options = { ...stage.stores, store, projection: clients, observer: silent, checkMs: 1 };
    running.push(new ServedProjection({ ...options, react: () => passed }).run(stop.signal));
    await until(() => looks > 10);
    expect(await stage.store.count('clients_v1_1')).toBe(1);
    expect(await servedBuild()).toBeUndefined();
    open();
    await until(async () => (await servedBuild()) !== undefined);
  });

  it('are served only when they hold what the log makes', async () => {
    for (let n = 0; n < 30; n++) await stage.create(n);
    await stage.project(clients);
    await corrupt('clients_v1_1', 7);
    const stops: unknown[] = [];
    const process = serve({ ...silent, stopped: (error) => stops.push(error) });
    await until(() => stops.length > 0);
    expect(stops).toEqual([expect.any(SpotCheckFailed)]);
    expect(process.status()).toMatchObject({ state: 'stopped', error: stops[0] });
    expect(String(stops[0])).toContain(`30 documents where the log makes 30; different: 1, such as ${clientNamed(7)}`);
    expect(await servedBuild()).toBeUndefined();

    expect(await rebuildClients()).toMatchObject({ build: 'clients_v1_2', replaced: undefined, documents: 30 });
    await until(() => process.status()?.state === 'live');
    await expectPlainFold('clients_v1_2');
  });

  it('go on where the use of a client is told that a restored log has lost', async () => {
    await stage.create('kept');
    const at = stage.at();
    await stage.used('auth-1', { [clientNamed('lost')]: at, [clientNamed('kept')]: at });
    await stage.rename('kept', 'After the restore');
    await serveNow();
    expect(await storedDocuments(stage.store, 'clients_v1_1')).toMatchObject(
      new Map([[clientNamed('kept'), { doc: { name: 'After the restore', lastUsedAt: at } }]]),
    );
    await stage.create('lost');
    await stage.used('auth-1', { [clientNamed('lost')]: stage.at() });
    expect(await rebuildClients()).toMatchObject({ documents: 2, different: 0 });
  });

  it('are counted, and at least 1,000 documents compared, while events come', async () => {
    const created: Promise<unknown>[] = [];
    for (let n = 0; n < 2_500; n++) created.push(stage.create(n));
    await Promise.all(created);
    await stage.project(clients);
    const { signal } = stop;
    const check = () => spotCheck(stage.stores, clients, 'clients_v1_1', signal);
    expect(await check()).toEqual({ documents: 2_500, expected: { least: 2_500, most: 2_500 }, different: [] });
    serve();
    const coming = Promise.all(
      Array.from({ length: 50 }, (_, n) => [stage.create(`new${n}`), stage.rename(n, `New name ${n}`)]).flat(),
    );
    expect(isPassed(await check())).toBe(true);
    await coming;
    await until(async () => (await stage.store.checkpoint('clients_v1_1'))?.position === (await endOfLog(stage.log)));

    for (let n = 0; n < 2_500; n += 100) await corrupt('clients_v1_1', n);
    const { different } = await check();
    expect(different.length).toBeGreaterThan(0);
    const [stored] = await stage.store.read('clients_v1_1', [clientNamed(1)]);
    if (!stored) throw new Error('no such document');
    await stage.store.write('clients_v1_1', [{ ...stored, id: clientNamed('ghost'), expected: undefined }]);
    expect(await check()).toMatchObject({ documents: 2_551, expected: { least: 2_550, most: 2_550 } });
  });

  it('are rebuilt and switched while events come and queries are answered', async () => {
    for (let n = 0; n < 20; n++) await stage.create(n);
    const process = await serveNow();
    const switched: RebuildReport[] = [];
    const rebuilt = rebuildClients({ batchSize: 1, graceMs: 1500, onSwitched: (report) => switched.push(report) });
    const queries = new ReadModelQueries(stage.stores);
    for (let n = 0; switched.length === 0 || n < 20; n++) {
      const token = stage.token(await stage.rename(n % 20, `Renamed ${n}`));
      const found = await (await queries.at(clients, token)).get(clientNamed(n % 20));
      expect(found?.doc.name).toBe(`Renamed ${n}`);
    }
    // Those who still read the replaced build see new events, while it is there.
    const { position } = await stage.create('late');
    await until(async () => ((await stage.store.checkpoint('clients_v1_1'))?.position ?? '') >= (position ?? ''));
    expect(await rebuilt).toMatchObject({
      ...{ build: 'clients_v1_2', replaced: 'clients_v1_1', documents: 20, different: 0 },
    });
    expect(await builds()).toEqual(['clients_v1_2']);
    await until(() => process.status()?.build === 'clients_v1_2');
    const token = stage.token(await stage.revoke('late'));
    const late = await (await queries.at(clients, token)).get(clientNamed('late'));
    expect(late?.doc.status).toBe('REVOKED');
    await expectPlainFold('clients_v1_2');
  });

  it('are not switched when documents differ, unless that is wanted', async () => {
    await stage.create('a');
    await stage.create('b');
    await serveNow();
    await corrupt('clients_v1_1', 'a');
    const error: unknown = await rebuildClients().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BuildsDiffer);
    expect(error).toMatchObject({ ids: [clientNamed('a')] });
    expect(await builds()).toEqual(['clients_v1_1']);
    expect(await servedBuild()).toBe('clients_v1_1');

    expect(await rebuildClients({ acceptDifferences: true })).toMatchObject({ documents: 2, different: 1 });
    expect(await builds()).toEqual(['clients_v1_2']);
    await expectPlainFold('clients_v1_2');
  });

  it('differ when one holds a document that no event made', async () => {
    await stage.create('a');
    await serveNow();
    const [stored] = await stage.store.read('clients_v1_1', [clientNamed('a')]);
    if (!stored) throw new Error('no such document');
    await stage.store.write('clients_v1_1', [{ ...stored, id: clientNamed('ghost'), expected: undefined }]);
    await expect(rebuildClients()).rejects.toMatchObject({ name: 'BuildsDiffer', ids: [clientNamed('ghost')] });
  });

  it('are equal where one is only behind, and differ where it lost an event', async () => {
    await stage.create('a');
    await stage.create('b');
    await stage.project(clients);
    const behind = 'clients_v1_1';
    const ahead = 'clients_v1_2';
    await stage.rename('a', 'In one of them');
    await stage.create('c');
    await stage.project(clients, { build: ahead });
    expect(await compareBuilds(stage.stores, clients, [behind, ahead])).toEqual({ documents: 3, different: [] });
    expect(await compareBuilds(stage.stores, clients, [ahead, behind])).toEqual({ documents: 3, different: [] });

    const [lost] = await stage.store.read(behind, [clientNamed('a')]);
    if (!lost) throw new Error('no such document');
    await stage.project(clients);
    const [current] = await stage.store.read(behind, [clientNamed('a')]);
    await stage.store.write(behind, [{ ...lost, expected: current?.position }]);
    const different = [clientNamed('a')];
    expect(await compareBuilds(stage.stores, clients, [behind, ahead])).toEqual({ documents: 3, different });
  });

  it('survive two rebuilds at once: one is switched to, the other gives way', async () => {
    for (let n = 0; n < 10; n++) await stage.create(n);
    await serveNow();
    const outcomes = await Promise.allSettled([
      rebuildClients({ batchSize: 2 }),
      rebuildClients({ batchSize: 3 }),
      rebuildClients({ batchSize: 5 }),
    ]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(RebuildOvertaken);
    }
    const served = await servedBuild();
    expect(outcomes.some((outcome) => outcome.status === 'fulfilled' && outcome.value.build === served)).toBe(true);
    expect(await builds()).toEqual([served]);
    await expectPlainFold(served ?? 'clients_v1_0');
  });

  it('are dropped when another rebuild was switched to first', async () => {
    await stage.create('a');
    await serveNow();
    const { passed, open } = gate();
    const slow = rebuildClients({ react: () => passed });
    await until(async () => (await builds()).length === 2);
    expect(await rebuildClients()).toMatchObject({ build: 'clients_v1_3' });
    open();
    await expect(slow).rejects.toThrow(RebuildOvertaken);
    expect(await builds()).toEqual(['clients_v1_3']);
    expect(await servedBuild()).toBe('clients_v1_3');
  });

  it('leave nothing behind when a rebuild is stopped before the switch', async () => {
    await stage.create('a');
    await serveNow();
    const signal = AbortSignal.abort(new Error('the operator stopped it'));
    await expect(rebuildClients({ signal })).rejects.toThrow('the operator stopped it');
    expect(await builds()).toEqual(['clients_v1_1']);
  });

  it('are left by a process whose build must be rebuilt as soon as it was, by whatever process', async () => {
    await stage.create('a');
    const foreign = { logId: '00000000-0000-4000-8000-000000000000', position: '0'.repeat(20), eventId: 'e' };
    await stage.store.prepare('clients_v1_1', clients);
    await stage.store.advance('clients_v1_1', undefined, foreign);
    await stage.store.serve(clients.name, clients.version, undefined, 'clients_v1_1');
    const stops: unknown[] = [];
    const process = serve({ ...silent, stopped: (error) => stops.push(error) });
    await until(() => stops.length > 0);
    expect(stops[0]).toBeInstanceOf(RebuildNeeded);
    expect(process.status()).toMatchObject({ state: 'stopped', error: stops[0] });

    expect(await rebuildClients()).toMatchObject({ notCompared: expect.stringContaining('of log 00000000') as string });
    await until(() => process.status()?.state === 'live');
    expect(process.status()?.build).toBe('clients_v1_2');
    await expectPlainFold('clients_v1_2');
  });

  it('wait, and say so, while the store refuses what no waiting helps against', async () => {
    await stage.create('a');
    const refused = new Error('MongoDB refused it: IndexKeySpecsConflict');
    let isRefused = true;
    const store = Object.create(stage.store, {
      prepare: {
        value: (...call: Parameters<ReadStore['prepare']>) =>
          isRefused ? Promise.reject(refused) : stage.store.prepare(...call),
      },
    }) as ReadStore;
    const told: unknown[] = [];
    const observer = { ...silent, stopped: (error: unknown) => told.push(error) };
    const options = { ...stage.stores, store, projection: clients, observer, checkMs: 10, failurePauseMs: 10 };
    const served = new ServedProjection(options);
    running.push(served.run(stop.signal));
    await until(() => Promise.resolve(served.status()?.state === 'stopped'));
    expect(served.status()).toMatchObject({ projection: 'clients', build: 'clients_v1_1', error: refused });
    isRefused = false;
    await until(async () => (await servedBuild()) !== undefined);
    expect(served.status()).toMatchObject({ state: 'live' });
    expect(told).toEqual([refused]);
  });

  it('are made again in a read store that was emptied', async () => {
    const empty = stage.snapshot();
    await stage.create('a');
    await serveNow();
    await empty();
    expect(await servedBuild()).toBeUndefined();
    await until(async () => (await servedBuild()) !== undefined);
    await expectPlainFold('clients_v1_1');
  });

  it('stay right when another process waits to feed them, too', async () => {
    await stage.create('a');
    await serveNow();
    const other = await openSqliteReadStore({ file: `${stage.directory}/read-models.db` });
    running.push(
      new ServedProjection({ ...stage.stores, store: other, projection: clients, observer: silent }).run(stop.signal),
    );
    for (let n = 0; n < 30; n++) await stage.create(n);
    const { position } = await stage.rename('a', 'Known to both');
    await until(async () => (await other.checkpoint('clients_v1_1'))?.position === position);
    await expectPlainFold('clients_v1_1');
    stop.abort();
    await Promise.all(running);
    await other.close();
  });
});
