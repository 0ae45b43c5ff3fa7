import { type AllStreamResolvedEvent, type Position, streamNameFilter } from '@eventstore/db-client';
import { type LogBatch, LogUnavailable, OUR_STREAM_PREFIXES, OUR_STREAMS, type SubscribeOptions } from '#event-log';
import type { RecordedEvent } from '#events';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { asPortError, isTooSlow, isTransient } from './errors.js';
import type { Fences } from './fence.js';
import { fromPosition } from './positions.js';
import { isOurEvent, toRecordedEvent } from './reads.js';

/**
 * The largest number of events that are fetched before the subscriber asks for them. All later events wait on the
 * server.
 */
const BUFFERED_EVENTS = 128;
const DEFAULT_BATCH_SIZE = 500;
/**
 * While the server skips other applications' events, it reports its position. EventStoreDB multiplies this option by 32
 * itself, so the server reports about every 1,000 records.
 */
const CHECKPOINT_INTERVAL = 32;

export interface FollowOptions {
  /**
   * The fences of this process (writes that prove that a connection reaches the leader). `marked` subscriptions receive
   * the fences as markers.
   */
  readonly fences: Fences;
  readonly deadlineMs: number;
  readonly closing: AbortSignal;
}

/**
 * Implements `EventLog.subscribe`. The subscription ends when `signal` aborts. The server ends a subscription whose
 * subscriber is too slow for live events. In this case a new subscription continues after the last event that the
 * subscriber took. Throws `LogUnavailable` if the server or the connection ends the subscription for another reason,
 * and if `closing` aborts.
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
      if (!isTooSlow(feed.failure) || feed.readTo === readTo) throw feed.failure;
      readTo = feed.readTo;
    } catch (error) {
      if (isTransient(error)) lease.link.giveUp();
      throw asPortError(error);
    } finally {
      void feed.end().then(() => {
        lease.release();
      });
    }
  }
}

/** One subscription of the driver. The subscription fetches only as many events as its buffer can hold. */
class Feed {
  /** The error with which the subscription ended. */
  failure: Error | undefined;
  /** Whether the server has said that the subscription has received all events of the log. */
  isLive = false;
  private taken: Position | undefined;
  private checkpoint: Position | undefined;
  // The value is `true` at first, because a signal may have aborted before this object listened to the signal.
  private hasChanged = true;
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

  /** The position after which the next subscription begins. The position is valid only while the buffer is empty. */
  get readTo(): Position | undefined {
    const { taken, checkpoint } = this;
    return checkpoint && checkpoint.commit > (taken?.commit ?? -1n) ? checkpoint : taken;
  }

  /** Resolves as soon as an event, an error or an abort has come since the last call of this method. */
  async changed(): Promise<void> {
    if (!this.hasChanged) await new Promise<void>((resolve) => (this.wake = resolve));
    this.hasChanged = false;
  }

  /**
   * Takes up to `limit` events of our streams out of the buffer. `completeTo` is set if a marker (an event that shows
   * how current the subscription is) was among the events. The newest marker proves that all events that were
   * acknowledged before the moment `completeTo` have been received.
   */
  take(limit: number): Pick<LogBatch, 'events' | 'completeTo'> {
    const events: RecordedEvent[] = [];
    let completeTo: LogBatch['completeTo'];
    while (events.length < limit) {
      const resolved = this.subscription.read() as AllStreamResolvedEvent | null;
      if (resolved === null) break;
      if (!resolved.event) continue;
      this.taken = resolved.event.position;
      if (isOurEvent(resolved.event)) events.push(toRecordedEvent(resolved.event));
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
