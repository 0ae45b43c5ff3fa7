import fc from 'fast-check';
import type { RecordedEvent } from '#events';
import { allProjections } from '#process-managers';
import {
  type BuildName,
  type ClientDocument,
  isPassed,
  type Projection,
  Projector,
  readModels,
  type ReadStore,
  spotCheck,
} from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { anyCommand, carryOut, CLIENTS } from './any-command.js';
import { clientNamed, plainFold, silent, Stage, storedDocuments, until, VERIFIER_MARK } from './stage.js';

/**
 * How the log is projected. `batchSizes`: the batch size of each racing projector. `replays`: the places from which the
 * log is replayed.
 */
interface Course {
  readonly batchSizes: readonly number[];
  readonly replays: readonly number[];
}

const course: fc.Arbitrary<Course> = fc.record({
  batchSizes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 3 }),
  replays: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
});

describe('read models are the fold of the log', () => {
  it('for any commands, batches, replays and number of projectors', async () => {
    const anyCommands = fc.array(anyCommand, { minLength: 10, maxLength: 60, size: 'max' });
    await fc.assert(
      fc.asyncProperty(anyCommands, course, async (commands, { batchSizes, replays }) => {
        const stage = await Stage.open();
        try {
          for (const command of commands) await carryOut(command, stage);
          const events = await stage.events();
          for (const { projection } of allProjections) {
            const build: BuildName = `${projection.name}_v${projection.version}_1`;
            await race(stage, stage.store, projection, build, batchSizes, events);
            for (const place of replays) {
              await rewind(stage, projection, events.slice(0, 1 + Math.floor(place * (events.length - 1))));
              await race(stage, stage.store, projection, build, batchSizes, events);
            }
            const stored = await storedDocuments(stage.store, build);
            expect(stored).toEqual(plainFold(projection, events));
            const { signal } = new AbortController();
            expect(isPassed(await spotCheck({ ...stage.stores, projection, build, signal }))).toBe(true);
            expect(JSON.stringify([...stored.values()].map(({ doc }) => doc))).not.toContain(VERIFIER_MARK);
          }
          await expectStreamsAndTablesToAgree(stage);
        } finally {
          await stage.close();
        }
      }),
      { numRuns: 15 },
    );
  });

  it('while the log grows and projectors of several processes share the file', async () => {
    const stage = await Stage.open();
    const stop = new AbortController();
    const others = await Promise.all(
      [1, 2].map(() => openSqliteReadStore({ file: `${stage.directory}/read-models.db` })),
    );
    try {
      const running = readModels.flatMap((projection) =>
        others.map((store, n) => {
          const build: BuildName = `${projection.name}_v${projection.version}_1`;
          const options = { ...stage.stores, store, projection, build, observer: silent, batchSize: 1 + 4 * n };
          return new Projector(options).run(stop.signal);
        }),
      );
      for (const command of fc.sample(anyCommand, { numRuns: 400, seed: 20_261_124 })) await carryOut(command, stage);
      const events = await stage.events();
      for (const projection of readModels) {
        const build: BuildName = `${projection.name}_v${projection.version}_1`;
        await until(async () => (await stage.store.checkpoint(build))?.position === events.at(-1)?.position);
        expect(await storedDocuments(stage.store, build)).toEqual(plainFold(projection, events));
      }
      stop.abort();
      await Promise.all(running);
    } finally {
      stop.abort();
      for (const store of others) await store.close();
      await stage.close();
    }
  });
});

/**
 * Runs one projector for each batch size, until each projector has caught up. All projectors work on the same build
 * (copy of a projection's documents).
 */
async function race(
  stage: Stage,
  store: ReadStore,
  projection: Projection,
  build: BuildName,
  batchSizes: readonly number[],
  events: readonly RecordedEvent[],
): Promise<void> {
  const stop = new AbortController();
  const racers = batchSizes.map(
    (batchSize) => new Projector({ ...stage.stores, store, projection, build, observer: silent, batchSize }),
  );
  const running = racers.map((racer) => racer.run(stop.signal));
  await Promise.race([Promise.all(racers.map(({ caughtUp }) => caughtUp)), ...running]);
  expect((await store.checkpoint(build))?.position).toBe(events.at(-1)?.position);
  stop.abort();
  await Promise.all(running);
}

/** Moves the checkpoint back behind these events. The documents are then ahead of it, as after a crash. */
async function rewind(
  { store, logId }: Stage,
  projection: Projection,
  before: readonly RecordedEvent[],
): Promise<void> {
  const last = before.at(-1);
  if (!last) throw new Error('No such event');
  const build: BuildName = `${projection.name}_v${projection.version}_1`;
  const { position, eventId } = last;
  const nextOrdinal = projection.isNumbered && before.filter(projection.isNumbered).length;
  const next = { logId, position, eventId, ...(nextOrdinal !== undefined && { nextOrdinal }) };
  expect(await store.advance(build, await store.checkpoint(build), next)).toBe(true);
}

/**
 * Compares the stored documents with the states of the aggregates. The aggregates fold the same events with their own
 * code, so their states are an independent check.
 */
async function expectStreamsAndTablesToAgree(stage: Stage): Promise<void> {
  for (let n = 0; n < CLIENTS; n++) {
    const { state, revision } = await stage.book.clients.read(clientNamed(n));
    const [stored] = await stage.store.read('clients_v4_1', [clientNamed(n)]);
    if (state.status === 'NONE') {
      expect(stored).toBeUndefined();
      continue;
    }
    const { clientId, workspaceId, name, authenticationType, createdAt, status } = state;
    const { description, labels = {}, externalId } = state;
    const shared = { clientId, workspaceId, name, authenticationType, createdAt, status };
    const doc = stored?.doc as ClientDocument | undefined;
    expect([doc?.description, doc?.externalId]).toEqual([description, externalId]);
    const pairs = Object.keys(labels).sort();
    expect(doc?.labels).toEqual(pairs.map((key) => ({ key, value: labels[key] })));
    const shown =
      state.status === 'ACTIVE'
        ? {
            credentials: state.credentials.map(({ verifier: _, ...credential }) => credential),
            subscriptions: [...state.subscriptions.values()],
          }
        : { credentials: [], subscriptions: [], revokedAt: state.revokedAt, revocationReason: state.reason };
    expect(stored).toMatchObject({ revision, doc: { ...shared, ...shown } });
  }
}
