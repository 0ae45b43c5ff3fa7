import { CatchUpReader, type EventLog } from '#event-log';
import type { RecordedEvent } from '#events';
import {
  type BuildName,
  type ClientDocument,
  type HistoryDocument,
  type Load,
  type ManageBuild,
  type Projection,
  projections,
  Projector,
  type ReadStore,
  ReadStoreUnavailable,
} from '#read-models';
import { plainFold, silent, Stage, storedDocuments } from '../../../../test/replay/stage.js';

const { clients, history } = projections;
const CLIENTS = 30;

/** With one event in each batch, 20 events make a load. */
const batchSize = 1;

describe('filling a fresh build', () => {
  let stage: Stage;
  let events: RecordedEvent[];

  beforeAll(async () => {
    stage = await Stage.open();
    for (let n = 0; n < CLIENTS; n++) await stage.create(n);
    for (let n = 0; n < CLIENTS; n++) await stage.rename(n, `Renamed ${n}`);
    for (let n = 0; n < CLIENTS; n += 3) await stage.revoke(n);
    events = await stage.events();
  });
  afterAll(() => stage.close());

  let builds = 0;
  let build: BuildName;
  beforeEach(() => {
    build = `clients_v${clients.version}_${++builds}`;
  });

  /** Fills the build from a store that differs from the stage's store in these methods. */
  const fill = async <Doc>(
    projection: Projection<Doc>,
    changed: Partial<ReadStore>,
    name = build,
    more: { catchUpReader?: CatchUpReader; manage?: ManageBuild } = {},
  ): Promise<void> => {
    const stop = new AbortController();
    const store = Object.assign(Object.create(stage.store) as ReadStore, changed);
    const options = { ...stage.stores, store, projection, build: name, isFresh: true, batchSize, observer: silent };
    const projector = new Projector({ ...options, ...more });
    const running = projector.run(stop.signal);
    await Promise.race([projector.caughtUp, running]);
    stop.abort();
    await running;
  };

  const expectPlainFold = async () => {
    expect(await storedDocuments(stage.store, build)).toEqual(plainFold(clients, events));
    expect((await stage.store.checkpoint(build))?.position).toBe(events.at(-1)?.position);
  };

  it('stores documents and checkpoint together, again and again', async () => {
    const loads: number[] = [];
    const load = (name: BuildName, given: Load) => {
      loads.push(given.writes.length);
      return stage.store.load(name, given);
    };
    await fill(clients, { load });
    await expectPlainFold();
    expect(loads).toHaveLength(Math.ceil(events.length / 20));
  });

  it('reads no document that an event begins, once a load has succeeded', async () => {
    const reads: string[] = [];
    const read = <Doc>(name: BuildName, ids: readonly string[]) => {
      reads.push(...ids);
      return stage.store.read<Doc>(name, ids);
    };
    await fill<ClientDocument>(clients, { read });
    expect(reads.length).toBeLessThan(CLIENTS);
    expect(new Set(reads).size).toBe(reads.length);
    reads.length = 0;
    await fill<HistoryDocument>(history, { read }, 'history_v3_1');
    expect(reads.length).toBeLessThanOrEqual(20);
    expect(await storedDocuments(stage.store, 'history_v3_1')).toEqual(plainFold(history, events));
  });

  it('tells a process manager to begin when everything is loaded, and not before', async () => {
    const told: string[] = [];
    const load = async (name: BuildName, given: Load) => {
      told.push('load');
      return stage.store.load(name, given);
    };
    const manage: ManageBuild = () => ({
      written: () => told.push('written'),
      caughtUp: () => told.push('caughtUp'),
      ended: Promise.resolve(),
    });
    await fill(clients, { load }, build, { manage });
    await expectPlainFold();
    expect(told).toEqual([...Array<string>(Math.ceil(events.length / 20)).fill('load'), 'caughtUp']);
  });

  it('reads the log once for several builds, and stops only the build that an event does not fit', async () => {
    const read: RecordedEvent[] = [];
    async function* subscribe(options: Parameters<EventLog['subscribe']>[0]) {
      for await (const batch of stage.log.subscribe(options)) {
        read.push(...batch.events);
        yield batch;
      }
    }
    const catchUpReader = new CatchUpReader(Object.assign(Object.create(stage.log) as EventLog, { subscribe }), 3);
    const bad = events[45];
    const stopped: Projection<ClientDocument> = {
      ...clients,
      apply: (client, event, id) => {
        if (event.eventId === bad?.eventId) throw new Error('does not fit');
        return clients.apply(client, event, id);
      },
    };
    const other: BuildName = `clients_v${clients.version}_${++builds}`;
    const [failed] = await Promise.allSettled([
      fill(stopped, {}, other, { catchUpReader }),
      fill(clients, {}, build, { catchUpReader }),
      fill(history, {}, 'history_v3_2', { catchUpReader }),
    ]);
    expect(failed).toMatchObject({ status: 'rejected', reason: { position: bad?.position } });
    expect(await storedDocuments(stage.store, other)).toEqual(plainFold(clients, events.slice(0, 45)));
    expect((await stage.store.checkpoint(other))?.position).toBe(events[44]?.position);
    await expectPlainFold();
    expect(await storedDocuments(stage.store, 'history_v3_2')).toEqual(plainFold(history, events));
    expect(read).toEqual(events);
  });

  it('begins again at the stored checkpoint when the store refuses a load', async () => {
    let loads = 0;
    const load = (name: BuildName, given: Load) =>
      ++loads === 2 ? Promise.reject(new ReadStoreUnavailable('Not now')) : stage.store.load(name, given);
    await fill(clients, { load });
    await expectPlainFold();
  });

  it('skips what documents contain already that are ahead of the checkpoint', async () => {
    let loads = 0;
    const load = async (name: BuildName, given: Load) => {
      if (++loads !== 2) return stage.store.load(name, given);
      // A store without transactions has crashed between the documents and the checkpoint.
      expect(await stage.store.write(name, given.writes)).toEqual([]);
      throw new ReadStoreUnavailable('Crashed');
    };
    await fill(clients, { load });
    await expectPlainFold();
  });

  it('gives way to another process that feeds the build', async () => {
    let loads = 0;
    const load = async (name: BuildName, given: Load) => {
      // The other process takes over after this process has lost the lease without noticing it.
      if (++loads === 2) await fill(clients, {});
      return stage.store.load(name, given);
    };
    await fill(clients, { load });
    await expectPlainFold();
  });

  it('gives the same documents if several processes fill the build at once', async () => {
    await Promise.all([fill(clients, {}), fill(clients, {}), stage.project(clients, { build })]);
    await expectPlainFold();
  });

  it('folds no events onto older documents of a store that was restored meanwhile', async () => {
    let restore: (() => Promise<void>) | undefined;
    let loads = 0;
    const load = async (name: BuildName, given: Load) => {
      loads += 1;
      if (loads === 2) restore = stage.snapshot();
      const isLoaded = await stage.store.load(name, given);
      // The loader goes on with what it holds in memory.
      if (loads === 2) await restore?.();
      return isLoaded;
    };
    await fill(clients, { load });
    await expectPlainFold();
  });
});
