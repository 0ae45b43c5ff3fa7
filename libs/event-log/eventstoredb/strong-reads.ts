import type { LogReadOptions, StreamReadOptions } from '#event-log';
import type { Position, RecordedEvent } from '#events';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { type FencesOptions, Fences } from './fence.js';
import { readEventAt, readLog, readStream } from './reads.js';
import { SharedReads } from './shared-reads.js';

interface Answer {
  readonly events: readonly RecordedEvent[];
  readonly link: Link;
}

/** In the place of a stream's name; the server has none of this name to read. */
const ALL_STREAMS = '$all';

type Send = (link: Link, deadline: Deadline) => Promise<RecordedEvent[]>;

/** Reads that see every append that was acknowledged, on any node, before their caller asked. */
export class StrongReads {
  private readonly connection: Connection;
  readonly fences: Fences;
  private readonly shared = new SharedReads<Answer>();

  constructor(
    options: FencesOptions,
    /** Milliseconds that a read may take that is shared by callers of different patience. */
    private readonly deadlineMs: number,
  ) {
    this.connection = options.connection;
    this.fences = new Fences(options);
  }

  /** Throws `LogUnavailable`, and what the driver throws. */
  readStream(
    stream: string,
    { from, direction, limit }: StreamReadOptions,
    deadline: Deadline,
    closing?: AbortSignal,
  ): Promise<RecordedEvent[]> {
    const place = { ...(from !== undefined && { from }), ...(direction && { direction }), ...(limit && { limit }) };
    const key = [stream, from, direction, limit].join('\n');
    return this.read(key, (link, sharedDeadline) => readStream(link, stream, place, sharedDeadline), deadline, closing);
  }

  /** Our events of the whole log. Throws `LogUnavailable`, and what the driver throws. */
  readLog(
    { after, direction, limit }: LogReadOptions,
    deadline: Deadline,
    closing?: AbortSignal,
  ): Promise<RecordedEvent[]> {
    const place = { ...(after !== undefined && { after }), ...(direction && { direction }), ...(limit && { limit }) };
    const key = [ALL_STREAMS, after, direction, limit].join('\n');
    return this.read(key, (link, sharedDeadline) => readLog(link, place, sharedDeadline), deadline, closing);
  }

  /** Our event at this very position, if there is one. Throws `LogUnavailable`, and what the driver throws. */
  readEventAt(position: Position, deadline: Deadline, closing?: AbortSignal): Promise<RecordedEvent[]> {
    const key = [ALL_STREAMS, 'at', position].join('\n');
    return this.read(key, (link, sharedDeadline) => readEventAt(link, position, sharedDeadline), deadline, closing);
  }

  private read(key: string, send: Send, deadline: Deadline, closing?: AbortSignal): Promise<RecordedEvent[]> {
    const arrivedAt = performance.now();
    return deadline.retry(async () => {
      for (;;) {
        const fence = await this.fences.before(arrivedAt, deadline);
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
