import {
  type BookOfRecord,
  type EventLog,
  isClockBehind,
  LogUnavailable,
  LogUnwritable,
  openBookOfRecord,
  type QuarantinesInForce,
  requireCommonClock,
} from '#event-log';
import {
  type Clock,
  Degraded,
  Down,
  listOf,
  type Logger,
  observerOfStores,
  type StoreConfiguration,
  type StoreOutages,
} from '#platform/without-http';
import { type ReadStore, ReadStoreUnavailable } from '#read-models';
import { openEventLog, type OpenEventLogOptions } from './event-log.js';
import { HistoryCheck, sentenceOf } from './history-check.js';
import { PendingStore, type PendingStoreOptions } from './pending-store.js';
import { openReadStore } from './read-store.js';
import { placeOfEventLog, placeOfReadStore } from './store-place.js';

export interface StoreContext {
  readonly configuration: StoreConfiguration;
  readonly logger: Logger;
  readonly outages: StoreOutages;
  readonly clock: Clock;
}

export type PendingBook = PendingStore<{ readonly book: BookOfRecord }>;
export type PendingReadStore = PendingStore<ReadStore>;

export interface PendingLogOptions<Opened> extends OpenEventLogOptions {
  /** Completes the opening. If it throws, the log is closed, and `PendingStore` decides as with any failed opening. */
  readonly complete: (book: BookOfRecord) => Promise<Opened>;
  readonly addMetrics?: PendingStoreOptions<Opened>['addMetrics'];
  /** Gets the lines about missing events. The default is the logger of the context. */
  readonly historyLogger?: Logger;
}

/** Opens the read store in the background. `rights`: what the process does there. */
export const pendingReadStore = (
  { configuration, logger, outages }: StoreContext,
  rights: 'read' | 'write',
): PendingReadStore =>
  new PendingStore({
    name: 'read store',
    open: async () => {
      const store = await openReadStore(configuration, {
        onWarning: (message) => {
          logger.warn({ store: 'read store' }, message);
        },
        rights,
        replaceDamaged: true,
      });
      logger.info({ store: 'read store' }, `the read store is ${placeOfReadStore(configuration)}`);
      return store;
    },
    check: (store) => store.ping(),
    close: (store) => store.close(),
    unavailable: () => new ReadStoreUnavailable('The read store has not been reached yet'),
    outages,
  });

/** Opens the event log in the background. */
export const pendingLog = <Opened extends { readonly book: BookOfRecord }>(
  { configuration, logger, outages, clock }: StoreContext,
  { complete, addMetrics, historyLogger = logger, ...options }: PendingLogOptions<Opened>,
): PendingStore<Opened> => {
  const history = new HistoryCheck(historyLogger, options.isSecondary);
  const cutObserver = observerOfStores(outages, {
    outageBegan: (err) => {
      logger.warn({ err }, 'it can’t be noticed whether streams of the event log are cut');
    },
    outageEnded: () => {
      logger.info('it is noticed again whether streams of the event log are cut');
    },
  });
  return new PendingStore({
    name: 'event log',
    open: async () => {
      const log = await openEventLog(configuration, {
        ...options,
        onWarning: (message) => {
          logger.warn({ store: 'event log' }, message);
        },
      });
      const snapshotObserver = observerOfStores(outages, {
        outageBegan: (err) => {
          logger.warn({ err }, 'snapshots of long streams can’t be written');
        },
        outageEnded: () => {
          logger.info('snapshots of long streams are written again');
        },
      });
      try {
        const book = await openBookOfRecord(log, clock, configuration.eventVersions, snapshotObserver);
        const opened = await complete(book);
        if (!options.isSecondary) {
          logger.info({ store: 'event log' }, `the event log is ${placeOfEventLog(configuration)}`);
        }
        void log.watchCuts(cutObserver);
        return opened;
      } catch (error) {
        await log.close();
        throw error;
      }
    },
    check: async ({ book }) => {
      // The first log of the process tries it for both.
      const writing = options.isSecondary ? undefined : requireWritable(book.log);
      const [quarantined] = await Promise.all([history.requireWhole(book), writing]);
      requireCommonClock(book.log);
      requireNoCuts(book.log);
      requireClockNotBehind(book.log);
      requireNoQuarantine(quarantined);
    },
    ...(addMetrics && { addMetrics }),
    close: ({ book }) => book.log.close(),
    unavailable: () => new LogUnavailable('The event log has not been reached yet'),
    outages,
  });
};

/** Throws `Down` if the log can be read, but not written. */
async function requireWritable(log: EventLog): Promise<void> {
  await log.tryWrite?.().catch((error: unknown) => {
    throw error instanceof LogUnwritable ? new Down(error.reason, error) : error;
  });
}

/** Throws `Degraded` if streams are cut, but no events are missing yet. An operator can take it back in time. */
function requireNoCuts({ missingHistory: { cuts, cutCount } }: EventLog): void {
  const [first] = cuts;
  if (!first) return;
  const more = cutCount > 1 ? `, and ${cutCount - 1} more streams are cut` : '';
  throw new Degraded(`${sentenceOf(first)}: its events will be lost${more}`);
}

/** Throws `Degraded` while a stream is quarantined: everything else goes on, and an operator has to act. */
function requireNoQuarantine(quarantined: QuarantinesInForce): void {
  if (quarantined.size === 0) return;
  throw new Degraded(`Quarantined: ${listOf([...quarantined.keys()])}`);
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
