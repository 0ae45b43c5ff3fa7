import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { readLogId } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { Projector, projections as allProjections } from '#read-models';
import { alternatingMedians } from './rounds.mjs';
import { seedLog } from './seeding.mjs';

const buildOf = ({ name, version }) => `${name}_v${version}_1`;

/**
 * Seconds that all projections at once take on a fresh read store, and that the very writes which they make take
 * without log and fold: `writeRaw(build, projection, batches)` makes those of one build. Answers the counts beside them.
 */
export async function measureCatchUp(bench, { clients, rounds, openStore, writeRaw }) {
  const file = join(bench.newFolder('projections'), 'event-log.db');
  const events = await seedLog(file, (seeder) => seedMarketplace(seeder, clients));
  const log = await openSqliteEventLog({ file });
  try {
    const logId = await readLogId(log);
    const batches = new Map();
    await timed(openStore, (store) => catchUp(log, logId, recording(store, batches)));
    const documents = [...batches.values()].flat(2).length;
    const seconds = await alternatingMedians(rounds, {
      catchUp: () => timed(openStore, (store) => catchUp(log, logId, store)),
      writes: () =>
        timed(openStore, (store) =>
          Promise.all(
            allProjections.map((projection) => {
              const build = buildOf(projection);
              return writeRaw({ store, build, projection, batches: batches.get(build) });
            }),
          ),
        ),
    });
    return { events, documents, seconds };
  } finally {
    await log.close();
  }
}

/** Seconds that `work` takes on a fresh store. */
async function timed(openStore, work) {
  const store = await openStore();
  try {
    const startedAt = performance.now();
    await work(store);
    return (performance.now() - startedAt) / 1000;
  } finally {
    await store.close();
  }
}

async function catchUp(log, logId, store) {
  const stopping = new AbortController();
  const projectors = allProjections.map(
    (projection) =>
      new Projector({
        ...{ log, logId, store, projection, build: buildOf(projection), now: () => new Date() },
        observer: { outageBegan() {}, outageEnded() {} },
      }),
  );
  const running = projectors.map((projector) => projector.run(stopping.signal));
  await Promise.race([Promise.all(projectors.map(({ caughtUp }) => caughtUp)), Promise.all(running)]);
  stopping.abort();
  await Promise.all(running);
  await requireComplete(log, store);
}

async function requireComplete(log, store) {
  const end = await log.end();
  for (const projection of allProjections) {
    const checkpoint = await store.checkpoint(buildOf(projection));
    if (checkpoint?.position !== end)
      throw new Error(`${projection.name} ended at ${checkpoint?.position}, not ${end}`);
  }
}

/** The store, with every batch that is written to it kept in `batches`, by build. */
const recording = (store, batches) =>
  Object.assign(Object.create(store), {
    write: (build, documents) => {
      batches.set(build, [...(batches.get(build) ?? []), documents]);
      return store.write(build, documents);
    },
  });

const SUBSCRIPTIONS = 200;
/** Clients whose lives run beside each other, so that a document is written again by later batches. */
const GENERATION = 400;

/** Clients live: created, assigned twice, renamed, rotated, unassigned, revoked, each by some. Answers the events. */
async function seedMarketplace(seeder, count) {
  for (let index = 0; index < SUBSCRIPTIONS; index++) await seeder.registerSubscription(`weather-${index}`);
  for (let first = 0; first < count; first += GENERATION) {
    const numbers = Array.from({ length: Math.min(GENERATION, count - first) }, (_, index) => first + index);
    const clients = [];
    const subscriptionOf = (number, nth) => `weather-${(number + nth * 7) % SUBSCRIPTIONS}`;
    for (const number of numbers) {
      clients.push([await seeder.createClient(`Importer ${number}`, number % 2 ? 'OAUTH2' : 'API_KEY'), number]);
    }
    const some = (share, change) => clients.filter(([, number]) => number % share === 0).map((each) => [each, change]);
    for (const [[clientId, number], change] of [
      ...some(1, (id, n) => seeder.assign(id, subscriptionOf(n, 0))),
      ...some(1, (id, n) => seeder.assign(id, subscriptionOf(n, 1))),
      ...some(2, (id, n) => seeder.change(id, 'ConsumerClientRenamed', { name: `Importer ${n} (Berlin)` })),
      ...some(4, (id) => seeder.rotate(id, 2)),
      ...some(5, (id, n) =>
        seeder.change(id, 'ConsumerClientUnassignedFromSubscription', {
          ...{ subscriptionId: subscriptionOf(n, 0), reason: 'REQUESTED' },
        }),
      ),
      ...some(10, (id, n) => seeder.revoke(id, [subscriptionOf(n, 1)])),
    ]) {
      await change(clientId, number);
    }
  }
  return seeder.count;
}
