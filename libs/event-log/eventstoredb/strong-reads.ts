import { type LogReadOptions, LogUnavailable, type StreamReadOptions } from '#event-log';
import type { Position, RecordedEvent } from '#events';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { ALL_STREAMS } from './errors.js';
import { Fences, type FencesOptions } from './fence.js';
import { isCut, readEnd, readEventAt, readFoundStream, readLog, readStream, requireNeverExisted } from './reads.js';
import type { ReadsOfNow, RestoredLog } from './restored-log.js';
import { SharedReads } from './shared-reads.js';

interface Answer<T> {
  readonly value: T;
  readonly link: Link;
}

type Send<T = readonly RecordedEvent[]> = (link: Link, deadline: Deadline) => Promise<T>;

export interface StrongReadsOptions extends FencesOptions {
  /**
   * How long one read may take, in milliseconds. Callers with different deadlines share a read, so the read has a
   * deadline of its own.
   */
  readonly deadlineMs: number;
  readonly restoredLog: Pick<RestoredLog, 'requireKnownEvents'>;
}

/**
 * Reads that return every event that any node acknowledged before the read's caller asked. `Fences` proves that the
 * reads come from the current leader. The first read on each link also looks whether the log was restored to an older
 * state: then all these reads throw `LogRestored`.
 */
export class StrongReads {
  private readonly connection: Connection;
  readonly fences: Fences;
  private readonly shared = new SharedReads<Answer<unknown>>();
  /** The links on which the log was found not to be restored. */
  private readonly checked = new WeakSet<Link>();

  constructor(private readonly options: StrongReadsOptions) {
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
    const key = keyOf(stream, place);
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

  /**
   * Reads of the log as it is now, restored or not. With `only`, they throw `LogUnavailable` if the answer comes from
   * another link.
   */
  now(deadline: Deadline, only?: Link): ReadsOfNow {
    const ask = async <T>(key: string, send: Send<T>): Promise<T> => {
      const { value, link } = await this.answer(key, send, deadline);
      if (only && link !== only) throw new LogUnavailable('The connection to EventStoreDB was lost');
      return value;
    };
    return {
      readStream: async (stream, place = {}) => [
        ...(await ask(keyOf(stream, place), (link, shared) => readStream(link, stream, place, shared))),
      ],
      isCut: (stream) => ask(`${stream}\nis cut`, (link, shared) => isCut(link, stream, shared)),
      end: () => ask([ALL_STREAMS, 'end'].join('\n'), readEnd),
    };
  }

  private read(key: string, send: Send, deadline: Deadline, closing?: AbortSignal): Promise<RecordedEvent[]> {
    const arrivedAt = performance.now();
    return deadline.retry(async () => {
      const { value, link } = await this.answer(key, send, deadline, arrivedAt);
      if (!this.checked.has(link)) await this.check(link, deadline);
      return [...value];
    }, closing);
  }

  /** Reads until a fence shows that the answer came from the leader. Equal keys MUST stand for equal reads. */
  private async answer<T>(
    key: string,
    send: Send<T>,
    deadline: Deadline,
    arrivedAt = performance.now(),
  ): Promise<Answer<T>> {
    for (;;) {
      const fence = await this.fences.fenceFor(arrivedAt, deadline);
      const answer = await deadline.race(this.shared.read(key, () => this.send(send)));
      if (answer.link === fence.link && this.fences.counts(fence, arrivedAt)) return answer as Answer<T>;
    }
  }

  /** Throws `LogRestored` if this link leads to a log that was restored to an older state. */
  private async check(link: Link, deadline: Deadline): Promise<void> {
    await this.options.restoredLog.requireKnownEvents(this.now(deadline, link));
    this.checked.add(link);
  }

  private send<T>(send: Send<T>): Promise<Answer<T>> {
    const deadline = new Deadline(this.options.deadlineMs);
    return this.connection.use(deadline, async (link) => ({ value: await send(link, deadline), link }));
  }
}

/** The name under which callers share equal reads. */
const keyOf = (stream: string, { from, direction, limit }: StreamReadOptions): string =>
  [stream, from, direction, limit].join('\n');
