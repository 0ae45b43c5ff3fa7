import type { LogReadOptions, StreamReadOptions } from '#event-log';
import type { Position, RecordedEvent } from '#events';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { ALL_STREAMS } from './errors.js';
import { Fences, type FencesOptions } from './fence.js';
import { readEventAt, readFoundStream, readLog, readStream, requireNeverExisted } from './reads.js';
import { SharedReads } from './shared-reads.js';

interface Answer {
  readonly events: readonly RecordedEvent[];
  readonly link: Link;
}

type Send = (link: Link, deadline: Deadline) => Promise<RecordedEvent[]>;

/**
 * Reads that return every event that any node acknowledged before the read's caller asked. `Fences` proves that the
 * reads come from the current leader.
 */
export class StrongReads {
  private readonly connection: Connection;
  readonly fences: Fences;
  private readonly shared = new SharedReads<Answer>();

  constructor(
    options: FencesOptions,
    /**
     * How long one read may take, in milliseconds. Callers with different deadlines share a read, so the read has a
     * deadline of its own.
     */
    private readonly deadlineMs: number,
  ) {
    this.connection = options.connection;
    this.fences = new Fences(options);
  }

  /** Reads a stream. Throws `LogUnavailable`, and the errors of the driver. */
  readStream(
    stream: string,
    { from, direction, limit, isProbablyMissing = false }: StreamReadOptions,
    deadline: Deadline,
    closing?: AbortSignal,
  ): Promise<RecordedEvent[]> {
    const place = { ...(from !== undefined && { from }), ...(direction && { direction }), ...(limit && { limit }) };
    const key = [stream, from, direction, limit].join('\n');
    if (isProbablyMissing) return this.readMissing(key, stream, place, deadline, closing);
    return this.read(key, (link, sharedDeadline) => readStream(link, stream, place, sharedDeadline), deadline, closing);
  }

  /** Reads a stream that is probably missing. The check whether it was deleted begins together with the read. */
  private async readMissing(
    key: string,
    stream: string,
    place: StreamReadOptions,
    deadline: Deadline,
    closing?: AbortSignal,
  ): Promise<RecordedEvent[]> {
    const check: Send = (link, sharedDeadline) => requireNeverExisted(link, stream, sharedDeadline).then(() => []);
    const checking = this.read(`${stream}\nwas deleted`, check, deadline, closing);
    // If the stream is found after all, the check does not matter.
    checking.catch(() => undefined);
    const find: Send = async (link, sharedDeadline) =>
      (await readFoundStream(link, stream, place, sharedDeadline)) ?? [];
    const events = await this.read(`${key}\nif found`, find, deadline, closing);
    return events.length > 0 ? events : checking;
  }

  /** Reads the events of our streams from the whole log. Throws `LogUnavailable`, and the errors of the driver. */
  readLog(
    { after, direction, limit }: LogReadOptions,
    deadline: Deadline,
    closing?: AbortSignal,
  ): Promise<RecordedEvent[]> {
    const place = { ...(after !== undefined && { after }), ...(direction && { direction }), ...(limit && { limit }) };
    const key = [ALL_STREAMS, after, direction, limit].join('\n');
    return this.read(key, (link, sharedDeadline) => readLog(link, place, sharedDeadline), deadline, closing);
  }

  /**
   * Reads the event at exactly this position. Returns `[]` if no event of our streams is there. Throws
   * `LogUnavailable`, and the errors of the driver.
   */
  readEventAt(position: Position, deadline: Deadline, closing?: AbortSignal): Promise<RecordedEvent[]> {
    const key = [ALL_STREAMS, 'at', position].join('\n');
    return this.read(key, (link, sharedDeadline) => readEventAt(link, position, sharedDeadline), deadline, closing);
  }

  private read(key: string, send: Send, deadline: Deadline, closing?: AbortSignal): Promise<RecordedEvent[]> {
    const arrivedAt = performance.now();
    return deadline.retry(async () => {
      for (;;) {
        const fence = await this.fences.fenceFor(arrivedAt, deadline);
        const answer = await deadline.race(this.shared.read(key, () => this.send(send)));
        if (answer.link === fence.link && this.fences.counts(fence, arrivedAt)) return [...answer.events];
      }
    }, closing);
  }

  private send(send: Send): Promise<Answer> {
    const deadline = new Deadline(this.deadlineMs);
    return this.connection.use(deadline, async (link) => ({ events: await send(link, deadline), link }));
  }
}
