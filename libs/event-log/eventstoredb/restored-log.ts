import { LogRestored } from '#event-log';
import type { Position, RecordedEvent } from '#events';

export type KnownEvent = Pick<RecordedEvent, 'stream' | 'revision' | 'position' | 'eventId'>;

/** Number of events that are remembered. */
const REMEMBERED = 8;
/** Milliseconds between two looks for an adoption. */
const LOOK_EVERY_MS = 500;

/** Strong reads of the log as it is now. They throw `LogUnavailable`. */
export interface ReadsOfNow {
  /** Whether the event is in its stream, and was not cut from it; `undefined` if its stream can't be read. */
  has(event: KnownEvent): Promise<boolean | undefined>;
  /** Whether the server hides or removes events of the stream: it was cut, deleted or tombstoned. */
  isCut(stream: string): Promise<boolean>;
  /** Whether this is the log that the process began with, perhaps in an older state. */
  isSameLog(): Promise<boolean>;
  end(): Promise<Position | undefined>;
}

/**
 * Notices that the log was restored to an older state while this process runs.
 *
 * 1. This process remembers the newest events that it has appended or read: one of each stream, and a few in all.
 * 2. A server can be given older data only while it is stopped, so all connections to it are lost. On each new
 *    connection, this process looks whether these events are still in their streams.
 * 3. If one of them is not there, and its stream is not cut, the log was restored. It does not help that the log ends at
 *    a later position, because others may have appended since the restore. Nor does it help that another one of these
 *    events is there: the log may have been restored to a state between the two, and a command that was repeated after
 *    the restore has made the very same event again.
 * 4. If a stream is cut, a scavenge may have removed the event. A stream that can't be read says nothing, either: it may
 *    have an event of another program. If nothing is known of any of these events, the end of the log decides.
 * 5. From then on, all calls of this process fail, until an operator has adopted the log. An adoption counts if this
 *    process did not know it before. So processes read the adoptions now and then while all is well.
 */
export class RestoredLog {
  /** Set while the log is restored and not adopted. */
  error: LogRestored | undefined;
  /** Number of adoptions that this process has waited for. */
  adoptions = 0;
  /** Ordered by position. */
  private known: readonly KnownEvent[] = [];
  private readonly knownAdoptions = new Set<string>();
  private lookedAt = -Infinity;

  /** Remembers an event that this process has appended or read. */
  note({ stream, revision, position, eventId }: KnownEvent): void {
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

  noteAdoptions(events: readonly RecordedEvent[]): void {
    if (this.error) return;
    for (const { eventId } of events) this.knownAdoptions.add(eventId);
  }

  /** Looks for the remembered events. Throws `LogRestored`, `LogUnavailable`. */
  async requireKnownEvents(now: ReadsOfNow): Promise<void> {
    const { known, adoptions } = this;
    const lost = await lostOf(known, now);
    if (!lost || adoptions !== this.adoptions || !(await now.isSameLog())) return;
    throw (this.error ??= new LogRestored(lost));
  }

  /**
   * Throws `LogRestored` if the log was restored. But first looks for an adoption, unless the last look was a moment ago.
   * `adopted` is called when one is found, before anything else uses the log.
   */
  async requireAdopted(readAdoptions: () => Promise<readonly RecordedEvent[]>, adopted: () => void): Promise<void> {
    if (!this.error) return;
    if (performance.now() - this.lookedAt >= LOOK_EVERY_MS) {
      this.lookedAt = performance.now();
      const found = await readAdoptions().catch(() => []);
      if (found.some(({ eventId }) => !this.knownAdoptions.has(eventId))) {
        this.error = undefined;
        this.adoptions += 1;
        this.known = [];
        this.noteAdoptions(found);
        adopted();
      }
    }
    if (this.error) throw this.error;
  }
}

/** Returns the newest of the events that the log has lost by a restore; `undefined` if it was not restored. */
async function lostOf(known: readonly KnownEvent[], now: ReadsOfNow): Promise<KnownEvent | undefined> {
  const newest = known.at(-1);
  const are = await Promise.all(known.map((event) => now.has(event)));
  for (const event of known.filter((_, index) => are[index] === false).toReversed()) {
    if (!(await now.isCut(event.stream))) return event;
  }
  if (!newest || are.includes(true)) return undefined;
  const end = await now.end();
  return end === undefined || end < newest.position ? newest : undefined;
}
