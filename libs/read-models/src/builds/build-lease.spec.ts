import { randomUUID } from 'node:crypto';
import {
  BuildLease,
  type BuildName,
  type ClientDocument,
  projections,
  type ReadStore,
  ReadStoreUnavailable,
  ServedProjection,
} from '#read-models';
import { clientNamed, plainFold, silent, Stage, storedDocuments, until } from '../../../../test/replay/stage.js';

const { clients } = projections;

const BUILD: BuildName = 'clients_v4_1';

describe('the lease of a build', () => {
  let stage: Stage;
  let clock: number;

  beforeEach(async () => {
    stage = await Stage.open();
    await stage.store.prepare(BUILD, clients);
    clock = 0;
  });

  afterEach(() => stage.close());

  /** Makes the lease object of a process whose monotonic clock shows `clock + offset`, in ms. */
  const process = (offset: number, { ttlMs = 1_000, store = stage.store, seize = false } = {}) =>
    new BuildLease(store, BUILD, { ttlMs, seize, now: () => clock + offset });

  it('belongs to one process until that process releases it', async () => {
    const [first, second] = [process(0), process(0)];
    expect(await first.take()).toBe(true);
    expect(await second.take()).toBe(false);
    expect(await first.keep()).toBe(true);
    expect(await second.keep()).toBe(false);
    await first.release();
    expect(await first.keep()).toBe(false);
    expect(await second.take()).toBe(true);
  });

  it('is taken over only by a process that has seen the same turn for its ttl, whatever the nodes’ clocks say', async () => {
    const [holder, early, late] = [process(0), process(-1e9), process(1e9)];
    await holder.take();
    expect(await early.take()).toBe(false);
    clock = 999;
    expect([await early.take(), await late.take()]).toEqual([false, false]);
    await holder.keep();
    clock = 1_000;
    expect([await early.take(), await late.take()]).toEqual([false, false]);
    clock = 1_999;
    expect([await early.take(), await late.take()]).toEqual([false, false]);
    clock = 2_000;
    expect(await late.take()).toBe(true);
    expect(await early.take()).toBe(false);
    expect(await holder.keep()).toBe(false);
    expect(await late.keep()).toBe(true);
  });

  it('is written only while another process waits for it', async () => {
    const [holder, waiting] = [process(0), process(0)];
    await holder.take();
    const taken = await stage.store.lease(BUILD);
    for (clock = 0; clock < 100_000; clock += 500) expect(await holder.keep()).toBe(true);
    expect(await stage.store.lease(BUILD)).toEqual(taken);
    for (; clock < 200_000; clock += 500) {
      expect(await waiting.take()).toBe(false);
      expect(await holder.keep()).toBe(true);
    }
    expect((await stage.store.lease(BUILD))?.turn).toBe(201);
    await waiting.take();
    clock += 1_000;
    expect(await waiting.take()).toBe(true);
  });

  it('is seized by a process that is configured to, but only at its start', async () => {
    const [first, second] = [process(0), process(0, { seize: true })];
    await first.take();
    expect(await second.take()).toBe(true);
    expect(await first.keep()).toBe(false);
    await second.release();
    await first.take();
    expect(await second.take()).toBe(false);
  });

  it('counts the ttl of its holder, not of the waiting process', async () => {
    const [patient, hasty] = [process(0, { ttlMs: 5_000 }), process(0, { ttlMs: 10 })];
    await patient.take();
    await hasty.take();
    clock = 4_999;
    expect(await hasty.take()).toBe(false);
    clock = 5_000;
    expect(await hasty.take()).toBe(true);
  });

  it('stays with its holder when the response to an answer was lost', async () => {
    let answersAreLost = false;
    const store = Object.assign(Object.create(stage.store) as ReadStore, {
      setLease: async (...args: Parameters<ReadStore['setLease']>) => {
        const done = await stage.store.setLease(...args);
        if (answersAreLost) throw new ReadStoreUnavailable('The answer was lost');
        return done;
      },
    });
    const [holder, waiting] = [process(0, { store }), process(0)];
    await holder.take();
    await waiting.take();
    answersAreLost = true;
    await expect(holder.keep()).rejects.toThrow(ReadStoreUnavailable);
    answersAreLost = false;
    expect(await holder.keep()).toBe(true);
  });

  it('that its former holder takes again is a new lease to the waiting processes', async () => {
    const [first, second] = [process(0), process(0)];
    await first.take();
    await second.take();
    clock = 900;
    await first.release();
    await first.take();
    clock = 1_000;
    expect(await second.take()).toBe(false);
  });
});

describe('several projectors', () => {
  let stage: Stage;
  let running: { readonly stop: AbortController; readonly ended: Promise<void> }[];

  beforeEach(async () => {
    stage = await Stage.open();
    running = [];
  });

  afterEach(async () => {
    await Promise.all(running.map(({ stop, ended }) => (stop.abort(), ended)));
    await stage.close();
  });

  const start = (store: ReadStore = stage.store) => {
    const served = new ServedProjection<ClientDocument>({
      ...{ ...stage.stores, store, projection: clients, observer: silent, checkMs: 20, leaseTtlMs: 200 },
    });
    const stop = new AbortController();
    const process = { served, stop, ended: served.run(stop.signal) };
    running.push(process);
    return process;
  };
  const works = ({ served }: { served: ServedProjection<ClientDocument> }) => served.status()?.state === 'live';
  const projected = async (label: string) => (await stage.store.read(BUILD, [clientNamed(label)])).length === 1;

  it('work one at a time; another takes over at once when it stops, and after its ttl when it is cut off', async () => {
    let isCutOff = false;
    const unreachable = () => Promise.reject(new ReadStoreUnavailable('Cut off'));
    const cable = new Proxy(stage.store, {
      get: (store, name: Exclude<keyof ReadStore, 'connectionEpoch'>) =>
        isCutOff ? unreachable : store[name].bind(store),
    });
    const first = start(cable);
    await until(() => works(first));
    const second = start();
    await stage.create('a');
    await until(() => projected('a'));
    expect(second.served.status()).toBeUndefined();

    isCutOff = true;
    await until(() => works(second));
    await stage.create('b');
    await until(() => projected('b'));
    isCutOff = false;
    await until(() => first.served.status() === undefined);

    second.stop.abort();
    await until(() => works(first));
    await stage.create('c');
    await until(() => projected('c'));
    expect(await storedDocuments(stage.store, BUILD)).toEqual(plainFold(clients, await stage.events()));
  });

  it('don’t wait for one that stopped at an event, and all report it', async () => {
    await stage.create('a');
    const first = start();
    await until(() => works(first));
    const second = start();
    const created = (await stage.events()).at(-1);
    if (!created) throw new Error('Nothing was created');
    await stage.log.append(created.stream, created.revision, [{ ...created, eventId: randomUUID() }]);
    await until(() => first.served.status()?.state === 'stopped');
    await until(() => second.served.status()?.state === 'stopped');
    expect(first.served.status()?.state).toBe('stopped');
  });
});
