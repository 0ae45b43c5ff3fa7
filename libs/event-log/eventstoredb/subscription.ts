import { type AllStreamResolvedEvent, type Position, streamNameFilter } from '@eventstore/db-client';
import {
  type LogBatch,
  type SubscribeOptions,
  LogUnavailable,
  OUR_STREAMS,
  OUR_STREAM_PREFIXES,
  isOurStream,
} from '#event-log';
import type { RecordedEvent } from '#events';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { inTrouble, isTooSlow, mayPass, translated } from './errors.js';
import type { Fences } from './fence.js';
import { fromPosition } from './positions.js';
import { toRecordedEvent } from './reads.js';

/** Events that are fetched ahead of the consumer; the rest waits on the server. */
const BUFFERED_EVENTS = 128;
const DEFAULT_BATCH_SIZE = 500;
/** Of about 32 records each: how often the server says how far it has come through other applications' events. */
const CHECKPOINT_INTERVAL = 32;

export interface FollowOptions {
  /** They come back through `marked` subscriptions. */
  readonly fences: Fences;
  readonly deadlineMs: number;
  readonly closing: AbortSignal;
}

/**
 * Follows the log as `EventLog.subscribe` says. The server cuts off a consumer that is too slow for live events: then it
 * goes on after the last one that it was given, at its own pace. Any other end is `LogUnavailable`, also `closing`.
 */
export async function* follow(
  connection: Connection,
  { after, signal, batchSize = DEFAULT_BATCH_SIZE, marked = false }: SubscribeOptions,
  { fences, deadlineMs, closing }: FollowOptions,
): AsyncGenerator<LogBatch> {
  const isOver = () => signal.aborted;
  let readTo = after === undefined ? undefined : fromPosition(after);
  let saidCaughtUp = false;
  while (!isOver()) {
    const deadline = new Deadline(deadlineMs);
    const lease = await connection.lease(deadline);
    const feed = new Feed(lease.link, readTo, marked ? fences : undefined, deadline, [signal, closing]);
    try {
      do {
        await feed.changed();
        if (isOver()) return;
        if (closing.aborted) throw new LogUnavailable('The event log is closed');
        do {
          const { events, completeTo } = feed.take(batchSize);
          const caughtUp = feed.isLive && feed.isEmpty;
          if (events.length > 0 || completeTo !== undefined || (caughtUp && !saidCaughtUp)) {
            yield { events, caughtUp, ...(completeTo !== undefined && { completeTo }) };
            saidCaughtUp = caughtUp;
          }
          if (isOver()) return;
        } while (!feed.isEmpty);
      } while (feed.failure === undefined);
      if (!isTooSlow(feed.failure) || feed.readTo === readTo)
        throw inTrouble(feed.failure, 'go on with a subscription');
      readTo = feed.readTo;
    } catch (error) {
      if (mayPass(error)) lease.link.giveUp();
      throw translated(error);
    } finally {
      void feed.end().then(() => {
        lease.release();
      });
    }
  }
}

/** One subscription of the driver, pulled from: nothing is taken from the server that has no room in the buffer. */
class Feed {
  /** What ended it. */
  failure: Error | undefined;
  /** Nothing was left to send, the server said. */
  isLive = false;
  private taken: Position | undefined;
  private checkpoint: Position | undefined;
  private hasChanged = true; // The signals may have been aborted before it listened.
  private wake: (() => void) | undefined;
  private readonly subscription;
  private readonly unconfirmed;

  constructor(
    link: Link,
    after: Position | undefined,
    private readonly markers: Fences | undefined,
    deadline: Deadline,
    private readonly stops: readonly AbortSignal[],
  ) {
    this.taken = after;
    const filter = streamNameFilter({
      prefixes: [...OUR_STREAM_PREFIXES, ...OUR_STREAMS, ...(markers ? [markers.stream] : [])],
      checkpointInterval: CHECKPOINT_INTERVAL,
      checkpointReached: (_, position) => {
        this.checkpoint = position;
      },
    });
    this.subscription = link.client
      .subscribeToAll(
        { fromPosition: after ?? 'start', filter, requiresLeader: true },
        { highWaterMark: BUFFERED_EVENTS },
      )
      .on('confirmation', () => {
        clearTimeout(this.unconfirmed);
      })
      .on('caughtUp', () => {
        this.isLive = true;
        this.notice();
      })
      .on('fellBehind', () => {
        this.isLive = false;
      })
      .on('readable', this.notice)
      .on('error', this.fail)
      .on('end', () => {
        this.fail(new LogUnavailable('EventStoreDB ended the subscription'));
      });
    this.unconfirmed = setTimeout(() => {
      this.fail(deadline.exceeded());
    }, deadline.remainingMs);
    for (const stop of stops) stop.addEventListener('abort', this.notice);
  }

  get isEmpty(): boolean {
    return this.subscription.readableLength === 0;
  }

  /** Where a subscription would go on that follows on this one; meaningful once it is empty. */
  get readTo(): Position | undefined {
    const { taken, checkpoint } = this;
    return checkpoint && checkpoint.commit > (taken?.commit ?? -1n) ? checkpoint : taken;
  }

  /** Resolves when something has happened since it was last asked. */
  async changed(): Promise<void> {
    if (!this.hasChanged) await new Promise<void>((resolve) => (this.wake = resolve));
    this.hasChanged = false;
  }

  /** Our events among those that are there, and how much has come with them by the newest marker. */
  take(limit: number): Pick<LogBatch, 'events' | 'completeTo'> {
    const events: RecordedEvent[] = [];
    let completeTo: number | undefined;
    while (events.length < limit) {
      const resolved = this.subscription.read() as AllStreamResolvedEvent | null;
      if (resolved === null) break;
      if (!resolved.event) continue;
      this.taken = resolved.event.position;
      if (isOurStream(resolved.event.streamId)) events.push(toRecordedEvent(resolved.event));
      else completeTo = this.markers?.beganAt(resolved.event.id) ?? completeTo;
    }
    return { events, ...(completeTo !== undefined && { completeTo }) };
  }

  async end(): Promise<void> {
    clearTimeout(this.unconfirmed);
    for (const stop of this.stops) stop.removeEventListener('abort', this.notice);
    await this.subscription.unsubscribe().catch(() => undefined);
    this.subscription.destroy();
  }

  private readonly notice = (): void => {
    this.hasChanged = true;
    this.wake?.();
  };

  private readonly fail = (error: Error): void => {
    this.failure ??= error;
    this.notice();
  };
}
