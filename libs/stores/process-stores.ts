import { Counter, Gauge } from 'prom-client';
import type { MasterKeys } from '#credentials';
import {
  type BookOfRecord,
  type EventLog,
  type HistoryMissing,
  isClockBehind,
  LogUnavailable,
  openBookOfRecord,
  type OutageObserver,
  requireCommonClock,
  requireSameLog,
} from '#event-log';
import { type Clock, type Configuration, Degraded, type Logger, type Registry } from '#platform';
import { type ReadStore, ReadStoreUnavailable } from '#read-models';
import { SigningKeyRing } from '#tokens';
import { openEventLog } from './event-log.js';
import { PendingStore } from './pending-store.js';
import { openReadStore } from './read-store.js';

export interface StoreContext {
  readonly configuration: Configuration;
  readonly logger: Logger;
  readonly clock: Clock;
}

/**
 * The book of record (the event log's aggregates) and the signing keys of a process that has master keys. The master
 * keys were checked against the log.
 */
export interface KeyedBook {
  readonly book: BookOfRecord;
  readonly ring: SigningKeyRing;
}

export type PendingBook = PendingStore<{ readonly book: BookOfRecord }>;
export type PendingKeyedBook = PendingStore<KeyedBook>;
export type PendingReadStore = PendingStore<ReadStore>;

/** Opens the event log in the background, for a process without master keys. */
export const pendingBook = (context: StoreContext): PendingBook =>
  pendingLog(context, (book) => Promise.resolve({ book }));

/**
 * Opens the event log and its signing keys in the background. `opened` rejects with `MasterKeyMismatch` if the master
 * keys do not belong to this log.
 */
export const pendingKeyedBook = (context: StoreContext, masterKeys: MasterKeys): PendingKeyedBook =>
  pendingLog(context, async (book) => {
    const { configuration, clock } = context;
    const ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: configuration.tokenAlg, now: clock });
    await ring.start();
    return { book, ring };
  });

export const pendingReadStore = ({ configuration, logger }: StoreContext): PendingReadStore =>
  new PendingStore({
    name: 'read store',
    open: () =>
      openReadStore(configuration, (message) => {
        logger.warn({ store: 'read store' }, message);
      }),
    check: (store) => store.ping(),
    close: (store) => store.close(),
    unavailable: () => new ReadStoreUnavailable('The read store has not been reached yet'),
    logger,
  });

const pendingLog = <Opened extends { readonly book: BookOfRecord }>(
  { configuration, logger, clock }: StoreContext,
  withBook: (book: BookOfRecord) => Promise<Opened>,
): PendingStore<Opened> => {
  const history = new HistoryCheck(logger);
  return new PendingStore({
    name: 'event log',
    open: async () => {
      const log = await openEventLog(configuration);
      const snapshotObserver: OutageObserver = {
        outageBegan: (err) => {
          logger.warn({ err }, 'snapshots of long streams can’t be written');
        },
        outageEnded: () => {
          logger.info('snapshots of long streams are written again');
        },
      };
      try {
        return await withBook(await openBookOfRecord(log, clock, configuration.eventVersions, snapshotObserver));
      } catch (error) {
        await log.close();
        throw error;
      }
    },
    check: async ({ book }) => {
      await history.requireWhole(book);
      requireCommonClock(book.log);
      requireClockNotBehind(book.log);
    },
    addMetrics: (registry, current) => {
      addClockMetric(registry, () => current()?.book.log.clockBehindMs ?? 0);
      addSnapshotMetric(registry, () => current()?.book.snapshotWrites.failures ?? 0);
      addHistoryMetric(registry, () => current()?.book.log.missingHistory.all.length ?? 0);
    },
    close: ({ book }) => book.log.close(),
    unavailable: () => new LogUnavailable('The event log has not been reached yet'),
    logger,
  });
};

/**
 * Milliseconds after which the check of the log gives up. This is less than a readiness check may take, so that the
 * check fails with the log's own reason.
 */
const CHECK_DEADLINE_MS = 1_500;

/** The largest number of streams that one check reads again, to see whether their events are still missing. */
const MAX_READ_AGAIN = 20;

/** Checks for missing events. Logs each stream that lacks events once. */
class HistoryCheck {
  private readonly told = new Set<string>();

  constructor(private readonly logger: Logger) {}

  /**
   * Throws `HistoryMissing` if the log was exchanged, or if a stream whose events were missing still lacks them. Throws
   * `LogUnavailable`.
   */
  async requireWhole({ log, logId }: BookOfRecord): Promise<void> {
    const options = { deadlineMs: CHECK_DEADLINE_MS };
    try {
      await requireSameLog(log, logId, options);
      const again = log.missingHistory.all
        .slice(0, MAX_READ_AGAIN)
        .map(({ stream, first: from = 0n }) =>
          log.readStream(stream, { from, limit: 1, consistency: 'strong', ...options }),
        );
      await Promise.all(again);
    } finally {
      this.tell(log.missingHistory.all);
    }
    const [still] = log.missingHistory.all;
    if (still) throw still;
    this.told.clear();
  }

  private tell(found: readonly HistoryMissing[]): void {
    for (const err of found) {
      if (this.told.has(err.stream)) continue;
      this.told.add(err.stream);
      this.logger.error({ err, stream: err.stream }, 'events are missing from the event log');
    }
  }
}

/**
 * Throws `Degraded` if this process's clock is behind the latest event of the log. Either this clock is wrong, or the
 * clock that dated that event was ahead. Both are for an operator to find out, and the process goes on.
 */
function requireClockNotBehind(log: EventLog): void {
  if (isClockBehind(log)) {
    throw new Degraded(`The clock is ${Math.round(log.clockBehindMs / 1000)} s behind the latest event of the log`);
  }
}

const addHistoryMetric = (registry: Registry, streams: () => number): Gauge =>
  new Gauge({
    name: 'event_log_streams_with_missing_events',
    help: 'Number of streams that this process has read and whose events are missing',
    registers: [registry],
    collect() {
      this.set(streams());
    },
  });

const addClockMetric = (registry: Registry, clockBehindMs: () => number): Gauge =>
  new Gauge({
    name: 'event_log_clock_behind_seconds',
    help: "How far this process's clock is behind the latest time that an event of the log carries",
    registers: [registry],
    collect() {
      this.set(clockBehindMs() / 1000);
    },
  });

const addSnapshotMetric = (registry: Registry, failures: () => number): Counter =>
  new Counter({
    name: 'event_log_snapshot_failures_total',
    help: 'Snapshots of long streams that could not be written',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(failures());
    },
  });
