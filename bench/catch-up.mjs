import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { clearInterval, setInterval } from 'node:timers';
import { CatchUpReader, readLogId } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { allProjections } from '#process-managers';
import { Projector } from '#read-models';
import { alternatingMedians } from './rounds.mjs';
import { seedLargeLog } from './seeding.mjs';

const projections = allProjections.map(({ projection }) => projection);
const buildOf = ({ name, version }) => `${name}_v${version}_1`;

/** Number of documents per raw write: as many as a batch of events that a projector writes one by one. */
const DOCUMENTS_PER_WRITE = 1000;
/** Number of raw writes that are under way at once, so that the store never waits for the next one. */
const WRITES_AT_ONCE = 10;

/**
 * Measures two durations in seconds: how long all projections together take to fill an empty read store, and how long
 * the same documents take alone, without reading the log or folding events. `openRaw` prepares one build (one version of
 * a projection's collection) of a store, and returns the function that writes documents to it. Also returns the number
 * of events and documents, and the largest resident memory while catching up, in megabytes.
 */
export async function measureCatchUp(bench, { clients, rounds, openStore, openRaw }) {
  const file = join(bench.newFolder('projections'), 'event-log.db');
  const events = await seedLargeLog(file, (seeder) => seedMarketplace(seeder, clients));
  const log = await openSqliteEventLog({ file });
  try {
    const logId = await readLogId(log);
    const filled = await openStore();
    try {
      const memory = await largestMemory(() => catchUp(log, logId, filled));
      const counts = await Promise.all(projections.map((projection) => filled.count(buildOf(projection))));
      const documents = counts.reduce((sum, count) => sum + count, 0);
      const seconds = await alternatingMedians(rounds, {
        catchUp: () => timed(openStore, (store) => catchUp(log, logId, store)),
        writes: () => secondsOfRawWrites(filled, openStore, openRaw),
      });
      return { events, documents, memory, seconds };
    } finally {
      await filled.close();
    }
  } finally {
    await log.close();
  }
}

/** Returns the largest resident memory of this process during `work`, in megabytes. */
async function largestMemory(work) {
  let largest = 0;
  const look = () => (largest = Math.max(largest, process.memoryUsage.rss()));
  const looking = setInterval(look, 20);
  try {
    await work();
    return largest / 1e6;
  } finally {
    clearInterval(looking);
  }
}

/** Copies all documents of the filled store to an empty store. Only the writing is measured, in seconds. */
async function secondsOfRawWrites(filled, openStore, openRaw) {
  const store = await openStore();
  try {
    let seconds = 0;
    for (const projection of projections) {
      const build = buildOf(projection);
      const write = await openRaw({ store, build, projection });
      for await (const pages of pagesOf(filled, build)) {
        const startedAt = performance.now();
        await Promise.all(pages.map((page) => write(page)));
        seconds += (performance.now() - startedAt) / 1000;
      }
    }
    return seconds;
  } finally {
    await store.close();
  }
}

/** Yields all documents of a build, several pages at a time. */
async function* pagesOf(store, build) {
  let after;
  for (;;) {
    const pages = [];
    while (pages.length < WRITES_AT_ONCE) {
      const page = await store.scan(build, after, DOCUMENTS_PER_WRITE);
      if (page.length === 0) break;
      pages.push(page.map((document) => ({ ...document, expected: undefined })));
      after = page.at(-1).id;
    }
    if (pages.length === 0) return;
    yield pages;
  }
}

/** Returns how many seconds `work` takes on an empty store. */
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
  const catchUpReader = new CatchUpReader(log, projections.length);
  const projectors = projections.map(
    (projection) =>
      new Projector({
        ...{
          log,
          logId,
          catchUpReader,
          store,
          projection,
          build: buildOf(projection),
          isFresh: true,
          now: () => new Date(),
        },
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
  for (const projection of projections) {
    const checkpoint = await store.checkpoint(buildOf(projection));
    if (checkpoint?.position !== end)
      throw new Error(`${projection.name} ended at ${checkpoint?.position}, not ${end}`);
  }
}

const SUBSCRIPTIONS = 200;
/**
 * Number of clients in a group. All clients of a group are created, then all are assigned, then some are renamed, and
 * so on. So the events of one client are far apart in the log, and several batches write the same document.
 */
const GENERATION = 400;

/**
 * Creates `count` clients and assigns each to two subscriptions. Some clients are then renamed, rotated, unassigned or
 * revoked. Returns the number of events.
 */
export async function seedMarketplace(seeder, count) {
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
