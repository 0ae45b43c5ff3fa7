import {
  ADOPTIONS_STREAM,
  ForeignEvent,
  HistoryMissing,
  LOG_STREAM,
  LogRefused,
  LogRestored,
  type StreamReadOptions,
} from '#event-log';
import type { Position, RecordedEvent } from '#events';
import { isDenied } from './errors.js';
import type { SameLog } from './same-log.js';

export type KnownEvent = Pick<RecordedEvent, 'stream' | 'revision' | 'position' | 'eventId'>;

/** Number of events that are remembered. */
const REMEMBERED = 8;
/** Milliseconds between two looks whether the process can go on. */
const LOOK_EVERY_MS = 500;

/** Strong reads of the log as it is now, restored or not. They throw `LogUnavailable`, and the errors of the driver. */
export interface ReadsOfNow {
  /** Also throws `HistoryMissing`, `ForeignEvent`. */
  readStream(stream: string, place?: Pick<StreamReadOptions, 'from' | 'limit'>): Promise<RecordedEvent[]>;
  /** Whether the stream's first events are hidden or gone, because the stream was cut, deleted or tombstoned. */
  isCut(stream: string): Promise<boolean>;
  end(): Promise<Position | undefined>;
}

/** Where an event is now. `unknown`: its stream was cut or can't be read, so its absence would say nothing. */
type Place = 'same' | 'other' | 'none' | 'unknown';

/**
 * Notices that the log was restored to an older state while this process runs.
 *
 * 1. This process remembers the newest events that it has appended or read: one of each stream, and a few in all. Every
 *    few seconds it also looks for the newest event of the log. So a process that is idle knows what others have written.
 * 2. A server can be given older data only while it is stopped, so all connections to it are lost. On each new
 *    connection, this process looks whether these events are still in their streams.
 * 3. If one of them is not there, and its stream is not cut, the log was restored. It does not help that the log ends at
 *    a later position, because others may have appended since the restore. Nor does it help that another one of these
 *    events is there: the log may have been restored to a state between the two, and a command that was repeated after
 *    the restore has made the very same event again.
 * 4. If a stream is cut, or was cut once, a scavenge may have removed the event. A stream that can't be read says nothing,
 *    either: it may have an event of another program. If nothing is known of any of these events, the end of the log
 *    decides.
 * 5. From then on, all calls of this process fail, and a new era begins only in two cases. First, an operator has adopted
 *    the log. An adoption counts if this process did not know it, and if it comes after the known events that are still in
 *    their places: older adoptions belong to an earlier restore. Second, the server was given the right data again, so
 *    that no known event is lost. The lost event must be in its place then: elsewhere, it was only made again.
 * 6. What was read or begun in an earlier era does not count in the present one.
 */
export class RestoredLog {
  /** Set while the log is restored and not adopted. */
  error: LogRestored | undefined;
  /** How often this process has gone on after a restore. */
  era = 0;
  /** Ordered by position. */
  private known: readonly KnownEvent[] = [];
  /** The event whose loss has shown the restore. */
  private lost: KnownEvent | undefined;
  /** `undefined` before the adoptions were read. Then no adoption counts, since none could be told from an older one. */
  private knownAdoptions: ReadonlySet<string> | undefined;
  private lookedAt = -Infinity;
  /** Whether the server was given another log. Its events are not remembered: the right log would seem to lack them. */
  isOtherLog = false;

  constructor(private readonly sameLog: Pick<SameLog, 'isSame'>) {}

  /** Remembers an event that this process has appended or read in this era. */
  note({ stream, revision, position, eventId }: KnownEvent, era: number): void {
    if (this.error || this.isOtherLog || era !== this.era) return;
    const { known } = this;
    const [oldest] = known;
    if (oldest && known.length === REMEMBERED && position <= oldest.position) return;
    const before = known.find((event) => event.stream === stream);
    if (before && before.position >= position) return;
    const others = known.filter((event) => event !== before);
    const later = others.filter((event) => event.position > position);
    const earlier = others.filter((event) => event.position < position);
    this.known = [...earlier, { stream, revision, position, eventId }, ...later].slice(-REMEMBERED);
  }

  /** Remembers all adoptions of the log, which were read in this era. */
  noteAdoptions(adoptions: readonly RecordedEvent[], era: number): void {
    if (this.error || this.isOtherLog || era !== this.era) return;
    this.knownAdoptions = new Set(adoptions.map(({ eventId }) => eventId));
  }

  /** Throws `LogRestored` if this is a later era: the log may not be the one for which the call was made. */
  requireEra(era: number): void {
    if (era !== this.era) throw new LogRestored('The event log was restored to an older state during this call');
  }

  /** Looks for the remembered events. Throws `LogRestored`, `LogUnavailable`, and the errors of the driver. */
  async requireKnownEvents(now: ReadsOfNow): Promise<void> {
    const { era } = this;
    const { lost } = await lookFor(this.known, now);
    const isOtherLog = lost !== undefined && !(await this.isSameLog(now));
    if (era !== this.era) return;
    this.isOtherLog = isOtherLog;
    if (!lost || isOtherLog) return;
    if (!this.error) this.lost = lost;
    throw (this.error ??= errorOf(lost));
  }

  /**
   * Throws `LogRestored` if the log was restored. But first looks whether a new era can begin, unless the last look was a
   * moment ago. If so, `beginEra` is called, before anything else uses the log.
   */
  async requireUsable(now: ReadsOfNow, beginEra: () => void): Promise<void> {
    const { era, error } = this;
    if (!error) return;
    if (performance.now() - this.lookedAt >= LOOK_EVERY_MS) {
      this.lookedAt = performance.now();
      // If the log can't be read, the next look may succeed.
      await this.lookAgain(now, beginEra).catch(() => undefined);
    }
    if (era === this.era) throw this.error ?? error;
  }

  private async lookAgain(now: ReadsOfNow, beginEra: () => void): Promise<void> {
    const { era, known, lost: missed } = this;
    const [{ places, lost }, adoptions, isSameLog] = await Promise.all([
      lookFor(known, now),
      now.readStream(ADOPTIONS_STREAM).catch(asMissing),
      this.isSameLog(now),
    ]);
    if (!missed || era !== this.era) return;
    const isMissing = adoptions instanceof HistoryMissing;
    const isAdopted = !isMissing && this.areNew(adoptions, places);
    if (isAdopted) {
      this.known = [];
      this.knownAdoptions = new Set(adoptions.map(({ eventId }) => eventId));
    }
    if (isAdopted || (isSameLog && !lost && places.get(missed) !== 'other')) {
      this.error = undefined;
      this.era += 1;
      beginEra();
    } else {
      this.error = errorOf(missed, isMissing ? adoptions : undefined);
    }
  }

  /** Whether one of the adoptions came after the restore. `places`: where the known events are now. */
  private areNew(adoptions: readonly RecordedEvent[], places: ReadonlyMap<KnownEvent, Place>): boolean {
    const { knownAdoptions } = this;
    if (!knownAdoptions) return false;
    const survivor = [...places.keys()].findLast((event) => places.get(event) === 'same');
    return adoptions.some(
      ({ eventId, position }) => !knownAdoptions.has(eventId) && (!survivor || position > survivor.position),
    );
  }

  /** Whether this is the log that the process began with, perhaps in an older state. */
  private async isSameLog(now: ReadsOfNow): Promise<boolean> {
    return this.sameLog.isSame(await now.readStream(LOG_STREAM, { limit: 1 }));
  }
}

/** Where the known events are, and the newest of those that the log has lost by a restore. */
interface Look {
  /** Ordered by position. */
  readonly places: ReadonlyMap<KnownEvent, Place>;
  /** `undefined` if the log was not restored. */
  readonly lost: KnownEvent | undefined;
}

async function lookFor(known: readonly KnownEvent[], now: ReadsOfNow): Promise<Look> {
  const places = new Map(await Promise.all(known.map(async (event) => [event, await placeOf(event, now)] as const)));
  const lost = known.findLast((event) => places.get(event) === 'none');
  const newest = known.at(-1);
  if (lost || !newest || known.some((event) => places.get(event) !== 'unknown')) return { places, lost };
  const end = await now.end();
  return { places, lost: end === undefined || end < newest.position ? newest : undefined };
}

async function placeOf({ stream, revision, position, eventId }: KnownEvent, now: ReadsOfNow): Promise<Place> {
  try {
    const found = await now.readStream(stream, { from: revision, limit: 1 }).catch(asMissing);
    const [event] = found instanceof HistoryMissing ? [] : found;
    if (event?.eventId === eventId) return event.position === position ? 'same' : 'other';
    return (await now.isCut(stream)) ? 'unknown' : 'none';
  } catch (error) {
    if (error instanceof ForeignEvent || error instanceof LogRefused || isDenied(error)) return 'unknown';
    throw error;
  }
}

function asMissing(error: unknown): HistoryMissing {
  if (error instanceof HistoryMissing) return error;
  throw error;
}

/** `hindrance`: why no adoption can be found. */
function errorOf({ stream, revision }: KnownEvent, hindrance?: HistoryMissing): LogRestored {
  const lacks = `it lacks event ${revision} of ${stream}, which this process knows`;
  const wayOn = hindrance
    ? `No adoption can be found, because ${hindrance.message}. Restore this stream, or restart this process`
    : "An operator must run 'consumer-clients log adopt'";
  return new LogRestored(`The event log was restored to an older state: ${lacks}. ${wayOn}`);
}
