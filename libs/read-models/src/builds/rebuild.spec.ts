import {
  BuildsDiffer,
  projections,
  ReadModelQueries,
  type ReadStore,
  RebuildOvertaken,
  type RebuildReport,
} from '#read-models';
import { ClientBuilds, gate } from '../../../../test/replay/client-builds.js';
import { clientNamed, type Stage, until } from '../../../../test/replay/stage.js';

const { clients } = projections;

describe('the builds of a projection', () => {
  let builds: ClientBuilds;
  let stage: Stage;

  beforeEach(async () => {
    builds = await ClientBuilds.open();
    ({ stage } = builds);
  });
  afterEach(() => builds.close());

  it('are rebuilt and switched while events come and queries are answered', async () => {
    for (let n = 0; n < 20; n++) await stage.create(n);
    const process = await builds.serveNow();
    const switched: RebuildReport[] = [];
    const rebuilt = builds.rebuild({ batchSize: 1, graceMs: 1500, onSwitched: (report) => switched.push(report) });
    const queries = new ReadModelQueries(stage.stores);
    for (let n = 0; switched.length === 0 || n < 20; n++) {
      const token = stage.token(await stage.rename(n % 20, `Renamed ${n}`));
      const found = await (await queries.at(clients, token)).get(clientNamed(n % 20));
      expect(found?.doc.name).toBe(`Renamed ${n}`);
    }
    // Some queries still read the replaced build, so this build must receive new events until it is dropped.
    const { position } = await stage.create('late');
    await until(async () => ((await stage.store.checkpoint('clients_v4_1'))?.position ?? '') >= (position ?? ''));
    expect(await rebuilt).toMatchObject({
      ...{ build: 'clients_v4_2', replaced: 'clients_v4_1', documents: 20, different: 0 },
    });
    expect(await builds.names()).toEqual(['clients_v4_2']);
    await until(() => process.status()?.build === 'clients_v4_2');
    const token = stage.token(await stage.revoke('late'));
    const late = await (await queries.at(clients, token)).get(clientNamed('late'));
    expect(late?.doc.status).toBe('REVOKED');
    await builds.expectPlainFold('clients_v4_2');
  });

  it('are not switched when documents differ, unless the operator forces it', async () => {
    await stage.create('a');
    await stage.create('b');
    await builds.serveNow();
    await builds.corrupt('clients_v4_1', 'a');
    const error: unknown = await builds.rebuild().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BuildsDiffer);
    expect(error).toMatchObject({ ids: [clientNamed('a')] });
    expect(await builds.names()).toEqual(['clients_v4_1']);
    expect(await builds.served()).toBe('clients_v4_1');

    expect(await builds.rebuild({ acceptDifferences: true })).toMatchObject({ documents: 2, different: 1 });
    expect(await builds.names()).toEqual(['clients_v4_2']);
    await builds.expectPlainFold('clients_v4_2');
  });

  it('differ when one holds a document that comes from no event', async () => {
    await stage.create('a');
    await builds.serveNow();
    const [stored] = await stage.store.read('clients_v4_1', [clientNamed('a')]);
    if (!stored) throw new Error('no such document');
    await stage.store.write('clients_v4_1', [{ ...stored, id: clientNamed('ghost'), expected: undefined }]);
    await expect(builds.rebuild()).rejects.toMatchObject({ name: 'BuildsDiffer', ids: [clientNamed('ghost')] });
  });

  it('survive two rebuilds at once: one switches, the other gives up', async () => {
    for (let n = 0; n < 10; n++) await stage.create(n);
    await builds.serveNow();
    const outcomes = await Promise.allSettled([
      builds.rebuild({ batchSize: 2 }),
      builds.rebuild({ batchSize: 3 }),
      builds.rebuild({ batchSize: 5 }),
    ]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(RebuildOvertaken);
    }
    const served = await builds.served();
    expect(outcomes.some((outcome) => outcome.status === 'fulfilled' && outcome.value.build === served)).toBe(true);
    expect(await builds.names()).toEqual([served]);
    await builds.expectPlainFold(served ?? 'clients_v4_0');
  });

  it('are dropped when another rebuild has switched first', async () => {
    await stage.create('a');
    await builds.serveNow();
    const { passed, open } = gate();
    const load: ReadStore['load'] = async (...call) => {
      await passed;
      return stage.store.load(...call);
    };
    const advance: ReadStore['advance'] = async (...call) => {
      await passed;
      return stage.store.advance(...call);
    };
    // All other methods run on the stage's store itself, because both rebuilds must share its connection.
    const store = new Proxy(stage.store, {
      get: (target, name) => {
        if (name === 'load') return load;
        if (name === 'advance') return advance;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const slow = builds.rebuild({ store });
    await until(async () => (await builds.names()).length === 2);
    expect(await builds.rebuild()).toMatchObject({ build: 'clients_v4_3' });
    open();
    await expect(slow).rejects.toThrow(RebuildOvertaken);
    expect(await builds.names()).toEqual(['clients_v4_3']);
    expect(await builds.served()).toBe('clients_v4_3');
  });

  it('stay dropped when a later rebuild has dropped them before the earlier one has ended', async () => {
    await stage.create('a');
    await builds.serveNow();
    let later: Promise<RebuildReport> | undefined;
    let isSwitched = false;
    const store = new Proxy(stage.store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name !== 'served' && name !== 'prepare') return value.bind(target) as unknown;
        return async (...call: unknown[]) => {
          if (isSwitched) await (later ??= builds.rebuild());
          return value.apply(target, call) as unknown;
        };
      },
    });
    const earlier = builds.rebuild({ store, onSwitched: () => (isSwitched = true) });
    expect(await earlier).toMatchObject({ build: 'clients_v4_2' });
    expect(await later).toMatchObject({ build: 'clients_v4_3', replaced: 'clients_v4_2' });
    expect(await builds.names()).toEqual(['clients_v4_3']);
  });

  it('leave nothing behind when a rebuild is stopped before the switch', async () => {
    await stage.create('a');
    await builds.serveNow();
    const signal = AbortSignal.abort(new Error('the operator stopped it'));
    await expect(builds.rebuild({ signal })).rejects.toThrow('the operator stopped it');
    expect(await builds.names()).toEqual(['clients_v4_1']);
  });
});
