import { HistoryMissing, LOG_STREAM } from '#event-log';
import type { RecordedEvent } from '#events';
import type { Link } from './connection.js';
import type { Deadline } from './deadline.js';
import { readStream } from './reads.js';

/**
 * Refuses appends to a log that is not the one which this process has read before, or that lacks events which it knows.
 * A server that was given another log has ended in between, so its links were lost. So the first append on each link
 * first reads the beginning of stream `log`, and waits for a strong read that begins after the link was opened: strong
 * reads notice that a log was restored. An append that began before the exchange, and is sent again after it, is
 * refused, too.
 */
export class SameLog {
  /** The id of the log's first event, as this process read it first. */
  private firstEventId: string | undefined;
  private readonly checked = new WeakSet<Link>();

  /** `events` were read from stream `log`, or appended to it. */
  note([first]: readonly Pick<RecordedEvent, 'revision' | 'eventId'>[]): void {
    if (first?.revision === 0n) this.firstEventId ??= first.eventId;
  }

  /** Whether the log that begins with these events is the one that this process has read before. */
  isSame([first]: readonly RecordedEvent[]): boolean {
    return this.firstEventId === undefined || first?.eventId === this.firstEventId;
  }

  /**
   * Throws `HistoryMissing` if the link leads to another log. Throws what `readStrongly` throws, and the errors of the
   * driver.
   */
  async require(link: Link, deadline: Deadline, readStrongly: () => Promise<unknown>): Promise<void> {
    if (this.firstEventId === undefined || this.checked.has(link)) return;
    const strongRead = readStrongly();
    strongRead.catch(() => undefined);
    if (!this.isSame(await readStream(link, LOG_STREAM, { limit: 1 }, deadline))) {
      throw new HistoryMissing(LOG_STREAM, 'The event log was exchanged for another one', undefined);
    }
    await strongRead;
    this.checked.add(link);
  }
}
