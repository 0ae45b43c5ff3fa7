import { inspect } from 'node:util';
import {
  type Checkpoint,
  type EventLog,
  internalContext,
  type OutageObserver,
  ProjectionStopped,
  quarantineStream,
  RebuildNeeded,
} from '#event-log';
import type { RecordedEvent } from '#events';
import {
  type BuildName,
  type ClientDocument,
  projections,
  Projector,
  type ReadStore,
  ReadStoreUnavailable,
} from '#read-models';
import { clientNamed, plainFold, silent, Stage, storedDocuments, until } from '../../../../test/replay/stage.js';
import { newEvents } from '../../../../test/support/events/new-events.js';

const { clients, history, subscriptions } = projections;

const BUILD = 'clients_v4_1';

describe.each([
  ['a projector', false],
  ['a projector that fills a fresh build', true],
])('%s', (_, isFresh) => {
  let stage: Stage;
  let stop: AbortController;
  let running: Promise<void>[];

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

  const projectorOf = (
    options: {
      store?: ReadStore;
      log?: EventLog;
      batchSize?: number;
      observer?: OutageObserver;
      now?: () => Date;
    } = {},
  ) => new Projector({ ...stage.stores, projection: clients, build: BUILD, isFresh, observer: silent, ...options });

  const start = (projector: Projector<never> | ReturnType<typeof projectorOf>): Promise<void> => {
    const run = projector.run(stop.signal);
    running.push(run);
    return run;
  };

  const storeWith = (changed: Partial<ReadStore>): ReadStore =>
    Object.assign(Object.create(stage.store) as ReadStore, changed);

  /**
   * Writes the documents of one batch but not the checkpoint, as if the process had crashed in between. In a store
   * without transactions, this can happen to a load, too.
   */
  const crashBeforeCheckpoint = async (batchSize = 1000) => {
    const crash = new AbortController();
    const advance = () => {
      crash.abort();
      return Promise.reject(new Error('crash'));
    };
    const load: ReadStore['load'] = async (build, { writes }) => {
      await stage.store.write(build, writes);
      return advance();
    };
    await projectorOf({ store: storeWith({ advance, load }), batchSize }).run(crash.signal);
  };

  const expectPlainFold = async () => {
    expect(await storedDocuments(stage.store, BUILD)).toEqual(plainFold(clients, await stage.events()));
  };

  const checkpointAt = ({ position, eventId }: RecordedEvent, logId = stage.logId): Checkpoint => ({
    ...{ logId, position, eventId },
  });

  it('catches up, follows new events, and reports its position', async () => {
    await stage.create('a');
    const projector = projectorOf();
    expect(projector.status()).toMatchObject({ state: 'catching-up', position: undefined, lagSeconds: undefined });
    void start(projector);
    await projector.caughtUp;
    expect(projector.status()).toMatchObject({ build: BUILD, state: 'live', lagSeconds: 0 });
    const { position } = await stage.revoke('a');
    await until(() => projector.status().position === position);
    await expectPlainFold();
  });

  it('says how long it lags while the store takes a batch slowly', async () => {
    await stage.create('a');
    let isSlow = false;
    let take: () => void = () => undefined;
    const write: ReadStore['write'] = async (...args) => {
      if (isSlow) await new Promise<void>((resolve) => (take = resolve));
      return stage.store.write(...args);
    };
    let time = Date.parse('2026-03-01T10:00:00.000Z');
    const projector = projectorOf({ store: storeWith({ write }), now: () => new Date(time) });
    void start(projector);
    await projector.caughtUp;
    isSlow = true;
    const { position } = await stage.rename('a', 'Slowly');
    await until(() => {
      time += 1_000;
      return (projector.status().lagSeconds ?? 0) > 5;
    });
    isSlow = false;
    take();
    await until(() => projector.status().position === position);
    expect(projector.status()).toMatchObject({ state: 'live', lagSeconds: 0 });
  });

  it('advances its checkpoint over events that it ignores', async () => {
    await stage.create('a');
    const { position } = await stage.register('weather');
    await stage.project(clients);
    expect(await stage.store.checkpoint(BUILD)).toMatchObject({ logId: stage.logId, position });
  });

  it('leaves out all events of a quarantined stream that can’t be applied, with one look at the quarantines', async () => {
    await stage.create('a');
    const stream = 'consumerClient-without-its-beginning';
    await stage.log.append(stream, 'none', newEvents(300));
    await stage.rename('a', 'After');
    const operator = { reason: 'An exercise', context: internalContext({ via: 'cli' }), now: stage.now };
    await quarantineStream(stage.log, { stream, lastRevision: 299n }, operator);
    const { position } = await stage.rename('a', 'Later');
    const looks = jest.spyOn(stage.log, 'readStream');
    const reads = jest.spyOn(stage.store, 'read');
    const projector = projectorOf();
    void start(projector);
    await until(() => projector.status().position === position);
    expect(looks.mock.calls.filter(([read]) => read === 'quarantines')).toHaveLength(1);
    expect(reads.mock.calls.length).toBeLessThan(5);
    const documents = [...(await storedDocuments<ClientDocument>(stage.store, BUILD)).values()];
    expect(documents.map(({ doc }) => doc.name)).toEqual(['Later']);
  });

  it('applies a batch again that a crash left without a checkpoint, and nothing changes', async () => {
    await stage.create('a');
    await stage.rename('a', 'Once');
    await crashBeforeCheckpoint();
    expect(await stage.store.checkpoint(BUILD)).toBeUndefined();
    expect((await storedDocuments(stage.store, BUILD)).size).toBe(1);
    await stage.project(clients);
    await expectPlainFold();
  });

  it('reads and folds a document again if another projector was faster', async () => {
    await stage.create('a');
    await stage.rename('a', 'Renamed');
    let reads = 0;
    const overtaken = storeWith({
      read: async <Doc>(build: BuildName, ids: readonly string[]) => {
        const documents = await stage.store.read<Doc>(build, ids);
        // Another projector writes the client's creation now. The checkpoint of that projector is not stored yet.
        if (++reads === 1) await crashBeforeCheckpoint(2);
        return documents;
      },
    });
    const projector = projectorOf({ store: overtaken });
    void start(projector);
    await projector.caughtUp;
    expect(reads).toBe(2);
    await expectPlainFold();
  });

  it('shares a build with another projector, even with different batches', async () => {
    for (let n = 0; n < 10; n++) await stage.create(n);
    const racers = [1, 2, 3, 7].map((batchSize) => projectorOf({ batchSize }));
    racers.forEach((racer) => void start(racer));
    for (let n = 0; n < 10; n++) await stage.rename(n, `Renamed ${n}`);
    const { position } = await stage.revoke(3);
    await until(() => racers.every((racer) => racer.status().position === position));
    await expectPlainFold();
  });

  it('catches up again when the read store was restored to an older state, even while no events come', async () => {
    await stage.create('a');
    const projector = projectorOf();
    void start(projector);
    await projector.caughtUp;
    const restore = stage.snapshot();
    await stage.rename('a', 'Forgotten by the backup');
    const { position } = await stage.create('b');
    await until(() => projector.status().position === position);
    await restore();
    expect((await stage.store.checkpoint(BUILD))?.position).not.toBe(position);
    await until(async () => (await stage.store.checkpoint(BUILD))?.position === position);
    await expectPlainFold();
  });

  it('does not fold new events onto older documents of a restored read store', async () => {
    await stage.create('a');
    const projector = projectorOf();
    void start(projector);
    await projector.caughtUp;
    const restore = stage.snapshot();
    const renamed = await stage.rename('a', 'Forgotten by the backup');
    await until(() => projector.status().position === renamed.position);
    await restore();
    const { position } = await stage.revoke('a');
    await until(async () => (await stage.store.checkpoint(BUILD))?.position === position);
    await expectPlainFold();
  });

  it('waits while the read store is unavailable, reports it once, and continues', async () => {
    await stage.create('a');
    const told: string[] = [];
    const observer = {
      outageBegan: (error: Error) => told.push(error.name),
      outageEnded: () => told.push('over'),
    };
    const projector = projectorOf({ observer });
    void start(projector);
    await projector.caughtUp;
    const repair = await stage.breakReadStore();
    const { position } = await stage.rename('a', 'Later');
    await until(() => told.length > 0);
    await expect(stage.store.ping()).rejects.toThrow(ReadStoreUnavailable);
    expect(projector.status()).toMatchObject({ state: 'catching-up' });
    await repair();
    await until(() => projector.status().position === position);
    expect(told).toEqual(['ReadStoreUnavailable', 'over']);
    await expectPlainFold();
  });

  it('tries again whatever the store refuses, and says why meanwhile', async () => {
    await stage.create('a');
    const refusal = new TypeError('Something that nobody has foreseen');
    let refusals = 3;
    const write: ReadStore['write'] = (...call) =>
      refusals-- > 0 ? Promise.reject(refusal) : stage.store.write(...call);
    const load: ReadStore['load'] = (...call) => (refusals-- > 0 ? Promise.reject(refusal) : stage.store.load(...call));
    const told: unknown[] = [];
    const projector = projectorOf({
      store: storeWith({ write, load }),
      observer: { outageBegan: (error) => told.push(error), outageEnded: () => told.push('over') },
    });
    void start(projector);
    await projector.caughtUp;
    expect(told).toEqual([refusal, 'over']);
    await expectPlainFold();
  });

  it('stops at an event that it can’t apply, names its place but not its content, while others go on', async () => {
    await stage.create('a');
    const { position: before } = await stage.rename('a', 'The last that is fine');
    const [last] = await stage.log.readAll({ direction: 'backwards', limit: 1 });
    if (!last) throw new Error('The log is empty');
    await stage.log.append(last.stream, last.revision, [
      { ...last, eventId: crypto.randomUUID(), type: 'ConsumerClientTeleported', data: { to: 'a secret place' } },
    ]);
    await stage.register('weather');

    const projector = projectorOf();
    const stopped: unknown = await start(projector).catch((error: unknown) => error);
    expect(stopped).toBeInstanceOf(ProjectionStopped);
    const [poison] = (await stage.events()).filter(({ type }) => type === 'ConsumerClientTeleported');
    expect(stopped).toMatchObject({
      ...{ projection: 'clients', eventType: 'ConsumerClientTeleported', stream: last.stream, revision: 2n },
      position: poison?.position,
    });
    expect(projector.status()).toMatchObject({ state: 'stopped', error: stopped });
    expect(inspect(stopped, { depth: 10 })).not.toContain('secret place');
    // Every event before the failing event is applied, no matter how the events were divided into batches.
    expect(await stage.store.checkpoint(BUILD)).toMatchObject({ position: before });
    expect((await storedDocuments<ClientDocument>(stage.store, BUILD)).get(clientNamed('a'))?.doc.name).toBe(
      'The last that is fine',
    );
  });

  it('goes on past an unknown event of a stream that it does not fold, which stops every projection that does', async () => {
    await stage.create('a');
    const [last] = await stage.log.readAll({ direction: 'backwards', limit: 1 });
    if (!last) throw new Error('The log is empty');
    const unknown = { ...last, eventId: crypto.randomUUID(), type: 'SubscriptionSuspended', data: {} };
    await stage.log.append('subscription-weather', 'none', [unknown]);
    const { position } = await stage.rename('a', 'Renamed after that');

    const projector = projectorOf();
    await Promise.race([projector.caughtUp, start(projector)]);
    expect(projector.status()).toMatchObject({ state: 'live', position });
    expect((await storedDocuments<ClientDocument>(stage.store, BUILD)).get(clientNamed('a'))?.doc.name).toBe(
      'Renamed after that',
    );
    const stopped = { name: 'ProjectionStopped', eventType: 'SubscriptionSuspended' };
    const options = { projection: subscriptions, build: 'subscriptions_v2_1', isFresh, observer: silent } as const;
    await expect(new Projector({ ...stage.stores, ...options }).run(stop.signal)).rejects.toMatchObject(stopped);
  });

  it('stops alone when only its own fold fails', async () => {
    await stage.create('a');
    const [created] = await stage.log.readAll({ direction: 'backwards', limit: 1 });
    if (!created) throw new Error('The log is empty');
    await stage.log.append(created.stream, 0n, [{ ...created, eventId: crypto.randomUUID() }]);
    await expect(start(projectorOf())).rejects.toMatchObject({ name: 'ProjectionStopped', revision: 1n });
    await stage.project(history);
    await stage.project(subscriptions);
    expect(await stage.store.count('history_v3_1')).toBe(2);
  });

  describe('asks for a rebuild if its checkpoint is not a place of this log:', () => {
    let events: RecordedEvent[];
    beforeEach(async () => {
      await stage.create('a');
      await stage.rename('a', 'Twice');
      events = await stage.events();
      await stage.store.prepare(BUILD, clients);
    });

    const expectRebuildNeeded = async (checkpoint: Checkpoint, reason: string) => {
      expect(await stage.store.advance(BUILD, undefined, checkpoint)).toBe(true);
      const projector = projectorOf();
      const error: unknown = await start(projector).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RebuildNeeded);
      expect(error).toMatchObject({ projection: 'clients', reason: expect.stringContaining(reason) as string });
      expect(projector.status().state).toBe('stopped');
      expect(await stage.store.checkpoint(BUILD)).toEqual(checkpoint);
      expect(await stage.store.count(BUILD)).toBe(0);
    };
    const event = (index: number): RecordedEvent => {
      const found = events.at(index);
      if (!found) throw new Error('No such event');
      return found;
    };

    it('it is of another log', () =>
      expectRebuildNeeded(checkpointAt(event(0), '00000000-0000-4000-8000-000000000000'), 'of log 00000000'));

    it('it is past the end', () => {
      const position = event(-1).position.replace(/.$/, '9');
      return expectRebuildNeeded(checkpointAt({ ...event(-1), position }), 'past the end');
    });

    it('its event is not at its position', () =>
      expectRebuildNeeded(checkpointAt({ ...event(-1), eventId: event(0).eventId }), 'another event'));

    it('but not if it is the log’s first event', async () => {
      await stage.store.advance(BUILD, undefined, checkpointAt(event(0)));
      await stage.project(clients);
      await expectPlainFold();
    });
  });
});
