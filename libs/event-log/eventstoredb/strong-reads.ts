import type { StreamReadOptions } from '#event-log';
import type { RecordedEvent } from '#events';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { type FencesOptions, Fences } from './fence.js';
import { readStream } from './reads.js';
import { SharedReads } from './shared-reads.js';

interface Answer {
  readonly events: readonly RecordedEvent[];
  readonly link: Link;
}

/** Reads that see every append that was acknowledged, on any node, before their caller asked (DESIGN §4). */
export class StrongReads {
  private readonly connection: Connection;
  private readonly fences: Fences;
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
    closing: AbortSignal,
  ): Promise<RecordedEvent[]> {
    const arrivedAt = performance.now();
    const place = { ...(from !== undefined && { from }), ...(direction && { direction }), ...(limit && { limit }) };
    const key = [stream, from, direction, limit].join('\n');
    return deadline.retry(async () => {
      for (;;) {
        const fence = await this.fences.before(arrivedAt, deadline);
        const answer = await deadline.race(this.shared.read(key, () => this.send(stream, place)));
        if (answer.link === fence.link && this.fences.counts(fence, arrivedAt)) return [...answer.events];
      }
    }, closing);
  }

  private send(stream: string, place: StreamReadOptions): Promise<Answer> {
    const deadline = new Deadline(this.deadlineMs);
    return this.connection.use(deadline, async (link) => ({
      events: await readStream(link, stream, place, deadline),
      link,
    }));
  }
}
