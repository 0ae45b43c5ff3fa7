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
import { type Clock, Degraded, type Logger, type StoreConfiguration } from '#platform/without-http';
import { type ReadStore, ReadStoreUnavailable } from '#read-models';
import { openEventLog, type OpenEventLogOptions } from './event-log.js';
import { PendingStore, type PendingStoreOptions } from './pending-store.js';
import { openReadStore } from './read-store.js';

export interface StoreContext {
  readonly configuration: StoreConfiguration;
  readonly logger: Logger;
  readonly clock: Clock;
}

export type PendingBook = PendingStore<{ readonly book: BookOfRecord }>;
export type PendingReadStore = PendingStore<ReadStore>;

export interface PendingLogOptions<Opened> extends OpenEventLogOptions {
  /** Completes the opening. If it throws, the log is closed, and `PendingStore` decides as with any failed opening. */
  readonly complete: (book: BookOfRecord) => Promise<Opened>;
  readonly addMetrics?: PendingStoreOptions<Opened>['addMetrics'];
}

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

/** Opens the event log in the background. */
export const pendingLog = <Opened extends { readonly book: BookOfRecord }>(
  { configuration, logger, clock }: StoreContext,
  { complete, addMetrics, ...options }: PendingLogOptions<Opened>,
): PendingStore<Opened> => {
  const history = new HistoryCheck(logger);
  return new PendingStore({
    name: 'event log',
    open: async () => {
      const log = await openEventLog(configuration, options);
      const snapshotObserver: OutageObserver = {
        outageBegan: (err) => {
          logger.warn({ err }, 'snapshots of long streams can’t be written');
        },
        outageEnded: () => {
          logger.info('snapshots of long streams are written again');
        },
      };
      try {
        return await complete(await openBookOfRecord(log, clock, configuration.eventVersions, snapshotObserver));
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
    ...(addMetrics && { addMetrics }),
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
