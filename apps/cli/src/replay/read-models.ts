import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BookOfRecord, ConsistencyToken } from '#event-log';
import type { Position } from '#events';
import { type Configuration, configurationFrom, systemClock } from '#platform/without-http';
import {
  type BuildName,
  type HistoryDocument,
  NotCaughtUp,
  NotReady,
  projections,
  Projector,
  ReadModelQueries,
  type ReadStore,
  type ServedReadModel,
} from '#read-models';
import { tokenUpTo } from '#replay';
import { openReadStore } from '#stores';
import { withBook } from '../environment.js';
import { untilInterrupted } from '../exit.js';
import { LONG_WORK_MS, ProgressBar } from '../progress-bar.js';
import { storeObserver } from '../projections.js';

type Histories = ServedReadModel<HistoryDocument>;

/**
 * Runs `work` with the event log and the read model of histories, which has all events up to `position` (default: the
 * log's end). If the stores have no such read model, it is made in a temporary file, so that the event log is enough.
 * Throws as `withBook`.
 */
export const withHistories = <T>(
  work: (book: BookOfRecord, histories: Histories) => Promise<T>,
  position?: (book: BookOfRecord) => Promise<Position | undefined>,
): Promise<T> =>
  withBook(async (book) => {
    const configuration = configurationFrom(process.env);
    const token = await tokenUpTo(book, await position?.(book));
    if (configuration.mongoDbUrl === undefined && !existsSync(join(configuration.dataDir, 'read-models.db'))) {
      return withTemporaryHistories(book, configuration, token, work);
    }
    const store = await openReadStore(configuration);
    let histories: Histories | undefined;
    try {
      histories = await servedHistories(book, store, token);
      if (histories) return await work(book, histories);
    } finally {
      await store.close();
    }
    return withTemporaryHistories(book, configuration, token, work);
  });

/** Returns the read model that the store serves. Returns `undefined` if it lacks events that the token names. */
async function servedHistories(
  { log, logId }: BookOfRecord,
  store: ReadStore,
  token: ConsistencyToken | undefined,
): Promise<Histories | undefined> {
  try {
    return await new ReadModelQueries({ log, logId, store }).at(projections.history, token);
  } catch (error) {
    if (error instanceof NotReady || error instanceof NotCaughtUp) return undefined;
    throw error;
  }
}

async function withTemporaryHistories<T>(
  book: BookOfRecord,
  configuration: Configuration,
  token: ConsistencyToken | undefined,
  work: (book: BookOfRecord, histories: Histories) => Promise<T>,
): Promise<T> {
  const { log, logId } = book;
  const { history } = projections;
  const build: BuildName = `${history.name}_v${history.version}_1`;
  const directory = mkdtempSync(join(tmpdir(), 'consumer-clients-history-'));
  const { mongoDbUrl: _, ...ofFiles } = configuration;
  const store = await openReadStore({ ...ofFiles, dataDir: directory });
  try {
    console.error('The read models lack events: the history is read from the event log into a temporary file');
    const projector = new Projector({
      ...{ log, logId, store, now: systemClock, projection: history, build, isFresh: true },
      observer: storeObserver,
    });
    await untilInterrupted((signal) => caughtUp(projector, log, signal));
    await store.serve(history, undefined, build);
    return await work(book, await new ReadModelQueries({ log, logId, store }).at(history, token));
  } finally {
    await store.close();
    rmSync(directory, { recursive: true });
  }
}

const LOOK_MS = 250;

/** Runs the projector until it has caught up, and shows how far it has come. Throws what the projector throws. */
async function caughtUp(
  projector: Projector<HistoryDocument>,
  log: BookOfRecord['log'],
  signal: AbortSignal,
): Promise<void> {
  const bar = new ProgressBar(LONG_WORK_MS);
  const over = new AbortController();
  const running = projector.run(AbortSignal.any([signal, over.signal]));
  const end = Number(await log.end());
  const timer = setInterval(() => {
    const { position } = projector.status();
    if (position !== undefined) bar.show('reading the log', Math.min(Number(position) / end, 1), `to ${position}`);
  }, LOOK_MS);
  try {
    await Promise.race([projector.caughtUp, running]);
    over.abort();
    await running;
    signal.throwIfAborted();
  } finally {
    clearInterval(timer);
    bar.stop();
  }
}
