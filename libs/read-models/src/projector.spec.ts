import { inspect } from 'node:util';
import type { EventLog } from '#event-log';
import type { RecordedEvent } from '#events';
import {
  type BuildName,
  type Checkpoint,
  type ClientDocument,
  type ReadStore,
  Projector,
  ProjectionStopped,
  ReadStoreUnavailable,
  RebuildNeeded,
  clients,
  history,
  subscriptions,
} from '#read-models';
import { Stage, clientNamed, plainFold, silent, storedDocuments, until } from '../../../test/replay/stage.js';

const BUILD = 'clients_v1_1';

describe('a projector', () => {
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

  const projectorOf = (options: { store?: ReadStore; log?: EventLog; batchSize?: number } = {}) =>
    new Projector({ ...stage.stores, projection: clients, build: BUILD, observer: silent, ...options });

  const start = (projector: Projector<never> | ReturnType<typeof projectorOf>): Promise<void> => {
    const run = projector.run(stop.signal);
    running.push(run);
    return run;
  };

  const storeWith = (changed: Partial<ReadStore>): ReadStore =>
    Object.assign(Object.create(stage.store) as ReadStore, changed);

  /** Leaves the documents of one batch, and no checkpoint. */
  const crashBeforeCheckpoint = async (batchSize = 1000) => {
    const store = storeWith({ advance: () => Promise.reject(new Error('crash')) });
    await expect(start(projectorOf({ store, batchSize }))).rejects.toThrow('crash');
  };

  const expectPlainFold = async () => {
    expect(await storedDocuments(stage.store, BUILD)).toEqual(plainFold(clients, await stage.events()));
  };

  const checkpointAt = ({ position, eventId }: RecordedEvent, logId = stage.logId): Checkpoint => ({
    ...{ logId, position, eventId },
  });

  it('catches up, follows what comes, and says how far it is', async () => {
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

  it('advances its checkpoint over events that it ignores', async () => {
    await stage.create('a');
    const { position } = await stage.register('weather');
    await stage.project(clients);
    expect(await stage.store.checkpoint(BUILD)).toMatchObject({ logId: stage.logId, position });
  });

  it('applies twice what a crash left without a checkpoint, and nothing changes', async () => {
    await stage.create('a');
    await stage.rename('a', 'Once');
    await crashBeforeCheckpoint();
    expect(await stage.store.checkpoint(BUILD)).toBeUndefined();
    expect((await storedDocuments(stage.store, BUILD)).size).toBe(1);
    await stage.project(clients);
    await expectPlainFold();
  });

  it('folds again what another projector was faster with', async () => {
    await stage.create('a');
    await stage.rename('a', 'Renamed');
    let reads = 0;
    const overtaken = storeWith({
      read: async <Doc>(build: BuildName, ids: readonly string[]) => {
        const documents = await stage.store.read<Doc>(build, ids);
        // The other one wrote the client's creation, and is about to store its checkpoint.
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

  it('shares a build with another projector, whatever their batches', async () => {
    for (let n = 0; n < 10; n++) await stage.create(n);
    const racers = [1, 2, 3, 7].map((batchSize) => projectorOf({ batchSize }));
    racers.forEach((racer) => void start(racer));
    for (let n = 0; n < 10; n++) await stage.rename(n, `Renamed ${n}`);
    const { position } = await stage.revoke(3);
    await until(() => racers.every((racer) => racer.status().position === position));
    await expectPlainFold();
  });

  it('catches up again when the read store was restored to an older state, also while nothing else happens', async () => {
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

  it('does not fold onto documents that a restored read store has of an older state', async () => {
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

  it('waits while the read store is away, tells of it once, and goes on', async () => {
    await stage.create('a');
    const told: string[] = [];
    const observer = {
      outageBegan: (error: Error) => told.push(error.name),
      outageEnded: () => told.push('over'),
    };
    const projector = new Projector({ ...stage.stores, projection: clients, build: BUILD, observer });
    running.push(projector.run(stop.signal));
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

  it('stops at an event that it can’t apply, says where but not what, and others go on', async () => {
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
    // Everything before it is there, whatever the batch was.
    expect(await stage.store.checkpoint(BUILD)).toMatchObject({ position: before });
    expect((await storedDocuments<ClientDocument>(stage.store, BUILD)).get(clientNamed('a'))?.doc.name).toBe(
      'The last that is fine',
    );
  });

  it('stops alone when only its own fold fails', async () => {
    await stage.create('a');
    const [created] = await stage.log.readAll({ direction: 'backwards', limit: 1 });
    if (!created) throw new Error('The log is empty');
    await stage.log.append(created.stream, 0n, [{ ...created, eventId: crypto.randomUUID() }]);
    await expect(start(projectorOf())).rejects.toMatchObject({ name: 'ProjectionStopped', revision: 1n });
    await stage.project(history);
    await stage.project(subscriptions);
    expect(await stage.store.count('history_v1_1')).toBe(2);
  });

  describe('whose checkpoint is not of this log asks for a rebuild', () => {
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

    it('when it is of another log', () =>
      expectRebuildNeeded(checkpointAt(event(0), '00000000-0000-4000-8000-000000000000'), 'of log 00000000'));

    it('when it is past the end', () => {
      const position = event(-1).position.replace(/.$/, '9');
      return expectRebuildNeeded(checkpointAt({ ...event(-1), position }), 'past the end');
    });

    it('when its event is not where it says', () =>
      expectRebuildNeeded(checkpointAt({ ...event(-1), eventId: event(0).eventId }), 'another event'));

    it('but not when it is of the log’s first event, with none before it', async () => {
      await stage.store.advance(BUILD, undefined, checkpointAt(event(0)));
      await stage.project(clients);
      await expectPlainFold();
    });
  });
});
