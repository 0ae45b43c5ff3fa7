import {
  type BookOfRecord,
  type EventLog,
  type HistoryMissing,
  isClockBehind,
  LOG_STREAM,
  LogUnavailable,
  type MissingHistory,
  openBookOfRecord,
  type OutageObserver,
  type QuarantinesInForce,
  requireCommonClock,
  requireSameLog,
  type StreamCut,
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
  /** Gets the lines about missing events. The default is the logger of the context. */
  readonly historyLogger?: Logger;
}

/** Opens the read store in the background. `rights`: what the process does there. */
export const pendingReadStore = ({ configuration, logger }: StoreContext, rights: 'read' | 'write'): PendingReadStore =>
  new PendingStore({
    name: 'read store',
    open: () =>
      openReadStore(configuration, {
        onWarning: (message) => {
          logger.warn({ store: 'read store' }, message);
        },
        rights,
      }),
    check: (store) => store.ping(),
    close: (store) => store.close(),
    unavailable: () => new ReadStoreUnavailable('The read store has not been reached yet'),
    logger,
  });

/** Opens the event log in the background. */
export const pendingLog = <Opened extends { readonly book: BookOfRecord }>(
  { configuration, logger, clock }: StoreContext,
  { complete, addMetrics, historyLogger = logger, ...options }: PendingLogOptions<Opened>,
): PendingStore<Opened> => {
  const history = new HistoryCheck(historyLogger, options.isSecondary);
  const cutObserver: OutageObserver = {
    outageBegan: (err) => {
      logger.warn({ err }, 'it can’t be noticed whether streams of the event log are cut');
    },
    outageEnded: () => {
      logger.info('it is noticed again whether streams of the event log are cut');
    },
  };
  return new PendingStore({
    name: 'event log',
    open: async () => {
      const log = await openEventLog(configuration, {
        ...options,
        onWarning: (message) => {
          logger.warn({ store: 'event log' }, message);
        },
      });
      const snapshotObserver: OutageObserver = {
        outageBegan: (err) => {
          logger.warn({ err }, 'snapshots of long streams can’t be written');
        },
        outageEnded: () => {
          logger.info('snapshots of long streams are written again');
        },
      };
      try {
        const book = await openBookOfRecord(log, clock, configuration.eventVersions, snapshotObserver);
        const opened = await complete(book);
        void log.watchCuts(cutObserver);
        return opened;
      } catch (error) {
        await log.close();
        throw error;
      }
    },
    check: async ({ book }) => {
      const quarantined = await history.requireWhole(book);
      requireCommonClock(book.log);
      requireNoCuts(book.log);
      requireClockNotBehind(book.log);
      requireNoQuarantine(quarantined);
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

/**
 * Checks for missing events. Logs once each stream that lacks events, and each way in which a stream is cut. The check
 * of a secondary log leaves out what the first log of the process finds, too: the streams that are cut, and `log`.
 */
class HistoryCheck {
  private readonly told = new Set<string>();
  private toldCuts: readonly StreamCut[] = [];
  /** Where the next check begins, in the list of streams to read again. */
  private next = 0;

  constructor(
    private readonly logger: Logger,
    private readonly isSecondary = false,
  ) {}

  /**
   * Throws `HistoryMissing` if the log was exchanged, or if a stream whose events were missing still lacks them and is
   * not quarantined. Returns the quarantines. Throws `LogUnavailable`.
   */
  async requireWhole({ log, logId, quarantines }: BookOfRecord): Promise<QuarantinesInForce> {
    const options = { deadlineMs: CHECK_DEADLINE_MS };
    const { missingHistory } = log;
    if (!this.isSecondary) this.tellCuts(missingHistory.cuts);
    try {
      const [quarantined] = await Promise.all([quarantines.inForce(options), requireSameLog(log, logId, options)]);
      const toRead = new Map(missingHistory.cuts.map(({ stream }) => [stream, 0n]));
      for (const { stream, first = 0n } of missingHistory.all) toRead.set(stream, first);
      for (const stream of quarantined.keys()) toRead.delete(stream);
      const again = this.someOf([...toRead]).map(([stream, from]) =>
        log.readStream(stream, { from, limit: 1, consistency: 'strong', ...options }),
      );
      await Promise.all(again);
      const [still] = missingHistory.except(quarantined);
      if (still) throw still;
      return quarantined;
    } finally {
      this.tell(this.isSecondary ? ofItsOwn(missingHistory) : missingHistory.all);
    }
  }

  /** Returns those streams that this check reads again. Each check goes on where the one before has ended. */
  private someOf<T>(streams: readonly T[]): T[] {
    const begin = this.next < streams.length ? this.next : 0;
    this.next = begin + MAX_READ_AGAIN;
    return streams.slice(begin, this.next);
  }

  private tell(found: readonly HistoryMissing[]): void {
    const missing = new Set(found.map(({ stream }) => stream));
    for (const stream of this.told) if (!missing.has(stream)) this.told.delete(stream);
    for (const err of found) {
      if (this.told.has(err.stream)) continue;
      this.told.add(err.stream);
      this.logger.error({ err, stream: err.stream }, 'events are missing from the event log');
    }
  }

  private tellCuts(cuts: readonly StreamCut[]): void {
    const told = new Set(this.toldCuts.map(sentenceOf));
    for (const cut of cuts) {
      if (told.has(sentenceOf(cut))) continue;
      this.logger.error(cut, 'a stream of the event log is cut: its events will be lost at the next scavenge');
    }
    const stillCut = new Set(cuts.map(({ stream }) => stream));
    for (const { stream } of this.toldCuts) {
      if (!stillCut.has(stream)) this.logger.info({ stream }, 'a stream of the event log is no longer cut');
    }
    this.toldCuts = cuts;
  }
}

/** What only a secondary log may have found. */
function ofItsOwn({ all, cuts }: MissingHistory): readonly HistoryMissing[] {
  const ofFirstLog = new Set([LOG_STREAM, ...cuts.map(({ stream }) => stream)]);
  return all.filter(({ stream }) => !ofFirstLog.has(stream));
}

const sentenceOf = ({ stream, how }: StreamCut): string => `${stream} ${how}`;

/** Throws `Degraded` if streams are cut, but no events are missing yet. An operator can take it back in time. */
function requireNoCuts({ missingHistory: { cuts } }: EventLog): void {
  const [first] = cuts;
  if (!first) return;
  const more = cuts.length > 1 ? `, and ${cuts.length - 1} more streams are cut` : '';
  throw new Degraded(`${sentenceOf(first)}: its events will be lost${more}`);
}

const MAX_NAMED = 5;

/** Throws `Degraded` while a stream is quarantined: everything else goes on, and an operator has to act. */
function requireNoQuarantine(quarantined: QuarantinesInForce): void {
  if (quarantined.size === 0) return;
  const named = [...quarantined.keys()].slice(0, MAX_NAMED).join(', ');
  const more = quarantined.size > MAX_NAMED ? ` and ${quarantined.size - MAX_NAMED} more` : '';
  throw new Degraded(`Quarantined: ${named}${more}`);
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
