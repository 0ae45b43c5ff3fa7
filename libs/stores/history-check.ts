import {
  type BookOfRecord,
  type HistoryMissing,
  LOG_STREAM,
  type LogRestored,
  type MissingHistory,
  type QuarantinesInForce,
  requireSameLog,
  type StreamCut,
} from '#event-log';
import type { Logger } from '#platform/without-http';

/**
 * Milliseconds after which the check of the log gives up. This is less than a readiness check may take, so that the
 * check fails with the log's own reason.
 */
const CHECK_DEADLINE_MS = 1_500;

/** The largest number of streams that one check reads again, to see whether their events are still missing. */
const MAX_READ_AGAIN = 20;

/** The largest number of streams for which one check logs lines of their own. */
const MAX_LINES = 20;

/**
 * Checks for missing events. Logs once each stream that lacks events, each way in which a stream is cut, and that the
 * log was restored; where a check finds many streams, one line names some of them. The check of a secondary log leaves
 * out what the first log of the process finds, too: the streams that are cut, `log`, and the restore.
 */
export class HistoryCheck {
  private readonly told = new Set<string>();
  private toldCuts: readonly StreamCut[] = [];
  /** The number of cut streams in the latest line that named only some of them; 0 if all were named. */
  private toldCount = 0;
  private isRestoreTold = false;
  /** Where the next check begins, in the list of streams to read again. */
  private next = 0;

  constructor(
    private readonly logger: Logger,
    private readonly isSecondary = false,
  ) {}

  /**
   * Throws `HistoryMissing` if the log was exchanged, or if a stream whose events were missing still lacks them and is
   * not quarantined. Throws `LogRestored` while a restored log is not adopted. Returns the quarantines. Throws
   * `LogUnavailable`.
   */
  async requireWhole({ log, logId, quarantines }: BookOfRecord): Promise<QuarantinesInForce> {
    const options = { deadlineMs: CHECK_DEADLINE_MS };
    const { missingHistory } = log;
    if (!this.isSecondary) this.tellCuts(missingHistory);
    try {
      const remembered = log.rememberNewest(options);
      const sameLog = requireSameLog(log, logId, options);
      const [quarantined] = await Promise.all([quarantines.inForce(options), sameLog, remembered]);
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
      if (!this.isSecondary) this.tellRestore(log.restored);
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
    const untold = found.filter(({ stream }) => !this.told.has(stream));
    for (const { stream } of untold) this.told.add(stream);
    if (untold.length > MAX_LINES) {
      this.logger.error(someOf(untold, found.length), 'events of many streams are missing from the event log');
      return;
    }
    for (const err of untold) this.logger.error({ err, stream: err.stream }, 'events are missing from the event log');
  }

  private tellRestore(err: LogRestored | undefined): void {
    if (err && !this.isRestoreTold) this.logger.error({ err }, 'the event log was restored to an older state');
    if (!err && this.isRestoreTold) {
      this.logger.info('the event log is used again: an operator has adopted it, or its events are back');
    }
    this.isRestoreTold = err !== undefined;
  }

  private tellCuts({ cuts, cutCount }: MissingHistory): void {
    const told = new Set(this.toldCuts.map(sentenceOf));
    const untold = cuts.filter((cut) => !told.has(sentenceOf(cut)));
    // Only some of the streams are known by name. The others are told as often as their number has doubled.
    const hasDoubled = cutCount > cuts.length && cutCount >= 2 * this.toldCount;
    if (untold.length > MAX_LINES || hasDoubled) {
      const message = 'many streams of the event log are cut: their events will be lost at the next scavenge';
      this.logger.error(someOf(cuts, cutCount), message);
      this.toldCount = cutCount;
    } else {
      for (const cut of untold) {
        this.logger.error(cut, 'a stream of the event log is cut: its events will be lost at the next scavenge');
      }
    }
    this.tellWhole(cuts);
    this.toldCuts = cuts;
    if (cutCount === 0) this.toldCount = 0;
  }

  /** Logs which streams are no longer cut. */
  private tellWhole(cuts: readonly StreamCut[]): void {
    const stillCut = new Set(cuts.map(({ stream }) => stream));
    const whole = this.toldCuts.filter(({ stream }) => !stillCut.has(stream));
    if (whole.length > MAX_LINES) {
      this.logger.info(someOf(whole, whole.length), 'many streams of the event log are no longer cut');
      return;
    }
    for (const { stream } of whole) this.logger.info({ stream }, 'a stream of the event log is no longer cut');
  }
}

/** The fields of a line about many streams: the names of some, and how many more there are. */
function someOf(streams: readonly { readonly stream: string }[], count: number): { streams: string[]; more: number } {
  const named = streams.slice(0, MAX_LINES).map(({ stream }) => stream);
  return { streams: named, more: count - named.length };
}

/** What only a secondary log may have found. */
function ofItsOwn({ all, cuts }: MissingHistory): readonly HistoryMissing[] {
  const ofFirstLog = new Set([LOG_STREAM, ...cuts.map(({ stream }) => stream)]);
  return all.filter(({ stream }) => !ofFirstLog.has(stream));
}

/** Says how a stream is cut. */
export const sentenceOf = ({ stream, how }: StreamCut): string => `${stream} ${how}`;
