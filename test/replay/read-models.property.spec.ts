import fc from 'fast-check';
import { type DescriptionChange, DomainError, secondsAfter } from '#domain';
import { type RecordedEvent, USAGE_OUTCOMES, type UsageEntry } from '#events';
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
import {
  clientNamed,
  plainFold,
  silent,
  Stage,
  storedDocuments,
  until,
  usageEntry,
  verifier,
  VERIFIER_MARK,
  WORKSPACE,
} from './stage.js';

type Command = (stage: Stage) => Promise<unknown>;

const CLIENTS = 4;
const SUBSCRIPTIONS = ['sub-a', 'sub-b', 'sub-c'];

const client = fc.integer({ min: 0, max: CLIENTS - 1 });
const subscription = fc.constantFrom(...SUBSCRIPTIONS);

/** An attempt to use a client, which need not make sense either. */
const attempt: fc.Arbitrary<Partial<UsageEntry>> = fc.record({
  generation: fc.constantFrom(null, 1, 2, 3),
  outcome: fc.constantFrom(...USAGE_OUTCOMES),
});

const description: fc.Arbitrary<DescriptionChange> = fc.record(
  {
    description: fc.constantFrom('Imports forecasts', null),
    labels: fc.dictionary(fc.constantFrom('team', 'a.b/c', '7'), fc.constantFrom('one', 'two', null)),
    externalId: fc.constantFrom('crm:1', 'crm:2', null),
  },
  { requiredKeys: [] },
);

/** Any command that a portal, a login or the process manager may send. The command need not make sense. */
const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.tuple(client, fc.string({ minLength: 1, maxLength: 20 })).map(
    ([n, name]): Command =>
      (stage) =>
        stage.create(n, name),
  ),
  fc.tuple(client, fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })).map(
    ([n, name]): Command =>
      (stage) =>
        stage.rename(n, name),
  ),
  fc.tuple(client, description).map(
    ([n, change]): Command =>
      (stage) =>
        stage.client(clientNamed(n), { type: 'DescribeClient', workspaceId: WORKSPACE, ...change, at: stage.at() }),
  ),
  fc
    .tuple(client, fc.constantFrom(0, 1, 60), fc.constantFrom(undefined, 1, 30))
    .map(([n, overlapSeconds, lifetime]): Command => (stage) => {
      const at = stage.at();
      return stage.client(clientNamed(n), {
        ...{
          type: 'RotateSecret',
          workspaceId: WORKSPACE,
          verifier: verifier(String(n)),
          hint: 'aB3x',
          overlapSeconds,
        },
        ...(lifetime !== undefined && { expiresAt: secondsAfter(at, lifetime) }),
        at,
      });
    }),
  fc.tuple(client, fc.integer({ min: 1, max: 4 })).map(
    ([n, generation]): Command =>
      (stage) =>
        stage.client(clientNamed(n), {
          ...{ type: 'RetireCredential', workspaceId: WORKSPACE, generation, at: stage.at() },
        }),
  ),
  fc.tuple(client, subscription).map(
    ([n, id]): Command =>
      (stage) =>
        stage.assign(n, id),
  ),
  fc.tuple(client, subscription).map(
    ([n, subscriptionId]): Command =>
      (stage) =>
        stage.client(clientNamed(n), {
          ...{ type: 'UnassignFromSubscription', workspaceId: WORKSPACE, subscriptionId, reason: 'REQUESTED' },
          at: stage.at(),
        }),
  ),
  subscription.map(
    (id): Command =>
      (stage) =>
        stage.register(id),
  ),
  fc.tuple(client, fc.constantFrom('one', 'two'), attempt).map(
    ([n, process, ofClient]): Command =>
      (stage) =>
        useClient(stage, n, process, ofClient),
  ),
  {
    weight: 1,
    arbitrary: subscription.map(
      (id): Command =>
        (stage) =>
          endSubscription(stage, id),
    ),
  },
  {
    weight: 1,
    arbitrary: client.map(
      (n): Command =>
        (stage) =>
          stage.revoke(n),
    ),
  },
);

/** Records an attempt to use the client, if the client exists. */
const useClient = async (stage: Stage, n: number, process: string, attempt: Partial<UsageEntry>) => {
  const { state } = await stage.book.clients.read(clientNamed(n));
  if (state.status !== 'NONE') await stage.recordUsage(process, [usageEntry(clientNamed(n), stage.at(), attempt)]);
};

const endSubscription = (stage: Stage, id: string) =>
  stage.subscription(id, { type: 'EndSubscription', workspaceId: WORKSPACE, reason: 'over', at: stage.at() });

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
              await rewind(stage.store, build, stage.logId, events[Math.floor(place * (events.length - 1))]);
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

/** Sends the command. The command may be refused, since a refused command writes nothing. */
async function carryOut(command: Command, stage: Stage): Promise<void> {
  try {
    await command(stage);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
  }
}

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

/** Moves the checkpoint back. The documents are then ahead of the checkpoint, as after a crash. */
async function rewind(store: ReadStore, build: BuildName, logId: string, to: RecordedEvent | undefined): Promise<void> {
  if (!to) throw new Error('No such event');
  const { position, eventId } = to;
  expect(await store.advance(build, await store.checkpoint(build), { logId, position, eventId })).toBe(true);
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
