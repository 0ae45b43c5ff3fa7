import { HistoryMissing, LOG_STREAM } from '#event-log';
import type { RecordedEvent } from '#events';
import type { Link } from './connection.js';
import type { Deadline } from './deadline.js';
import { readStream } from './reads.js';

/**
 * Refuses appends to a log that is not the one which this process has read before. A server that was given another log
 * has ended in between, so its links were lost. So the first append on each link first reads the beginning of stream
 * `log`. An append that began before the exchange, and is sent again after it, is refused, too.
 */
export class SameLog {
  /** The id of the log's first event, as this process read it first. */
  private firstEventId: string | undefined;
  private readonly checked = new WeakSet<Link>();

  /** `events` were read from stream `log`. */
  note([first]: readonly RecordedEvent[]): void {
    if (first?.revision === 0n) this.firstEventId ??= first.eventId;
  }

  /** Throws `HistoryMissing` if the link leads to another log. Throws `LogUnavailable`, and the errors of the driver. */
  async require(link: Link, deadline: Deadline): Promise<void> {
    if (this.firstEventId === undefined || this.checked.has(link)) return;
    const [first] = await readStream(link, LOG_STREAM, { limit: 1 }, deadline);
    if (first?.eventId !== this.firstEventId) {
      throw new HistoryMissing(LOG_STREAM, 'The event log was exchanged for another one', undefined);
    }
    this.checked.add(link);
  }
}
