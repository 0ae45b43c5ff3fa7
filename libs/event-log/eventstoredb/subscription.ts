import { type AllStreamResolvedEvent, type Position, streamNameFilter } from '@eventstore/db-client';
import { type LogBatch, LogUnavailable, type SubscribeOptions } from '#event-log';
import type { RecordedEvent } from '#events';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { ALL_STREAMS, asPortError, isTooSlow, isTransient, namingRight } from './errors.js';
import type { Fences } from './fence.js';
import { CHECKPOINT_INTERVAL, fromPosition, laterOf } from './positions.js';
import { type LogEnd, ourEvent } from './reads.js';

/**
 * The largest number of events that are fetched before the subscriber asks for them. All later events wait on the
 * server.
 */
const BUFFERED_EVENTS = 128;
const DEFAULT_BATCH_SIZE = 500;

/**
 * Milliseconds between two looks at the log's end. A subscription that has not received an event which the look before
 * has seen is behind.
 */
const LOOK_EVERY_MS = 2_000;
/** The least number of milliseconds between two looks of a subscription that may be behind. */
const LOOK_AGAIN_MS = 100;

export interface FollowOptions {
  /**
   * The fences of this process (writes that prove that a connection reaches the leader). `marked` subscriptions receive
   * the fences as markers.
   */
  readonly fences: Fences;
  /** Looks for the last event of our streams after this commit position. Throws `LogUnavailable`. */
  readonly lookAtEnd: (after: bigint) => Promise<LogEnd>;
  readonly deadlineMs: number;
  readonly closing: AbortSignal;
}

/**
 * Implements `EventLog.subscribe`. The subscription ends when `signal` aborts. The server ends a subscription whose
 * subscriber is too slow for live events. In this case a new subscription continues after the last event that the
 * subscriber took. Servers from 24.10 on don't end such a subscription, and don't say that it is behind. So the first
 * `caughtUp` of the server is believed, and from then on this process looks at the log's end itself. Throws
 * `LogUnavailable` if the server or the connection ends the subscription for another reason, if the log ends before
 * `after`, and if `closing` aborts.
 */
export async function* follow(
  connection: Connection,
  { after, signal, batchSize = DEFAULT_BATCH_SIZE, marked = false }: SubscribeOptions,
  { fences, lookAtEnd, deadlineMs, closing }: FollowOptions,
): AsyncGenerator<LogBatch> {
  const isOver = () => signal.aborted;
  let readTo = after === undefined ? undefined : fromPosition(after);
  let saidCaughtUp = false;
  while (!isOver()) {
    const deadline = new Deadline(deadlineMs);
    const lease = await connection.lease(deadline);
    const feed = new Feed(lease.link, readTo, marked ? fences : undefined, lookAtEnd, deadline, [signal, closing]);
    try {
      do {
        await feed.changed();
        if (isOver()) return;
        if (closing.aborted) throw new LogUnavailable('The event log is closed');
        do {
          const { events, completeTo } = feed.take(batchSize);
          const caughtUp = feed.hasCaughtUp;
          if (events.length > 0 || completeTo !== undefined || caughtUp !== saidCaughtUp) {
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
      throw asPortError(namingRight(error, '$r', ALL_STREAMS, lease.link));
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
  /** Whether the server has said `caughtUp`. */
  private hasBegun = false;
  /**
   * Whether the subscription has received all events, according to the server's first `caughtUp` and to the looks at the
   * log's end since then. `undefined` before the first `caughtUp`.
   */
  private isComplete: boolean | undefined;
  /** Number of events that were taken since the buffer was empty. */
  private takenTogether = 0;
  /** The commit position of an event that a look has seen and that the subscriber has not taken yet. */
  private missing: bigint | undefined;
  /** No event of ours is between the last taken event and this commit position. */
  private nothingTo = -1n;
  private isLooking = false;
  private lookedAt = -Infinity;
  private hasEnded = false;
  private nextLook: NodeJS.Timeout | undefined;
  private taken: Position | undefined;
  private checkpoint: Position | undefined;
  // The value is `true` at first, because a signal may have aborted before this object listened to the signal.
  private hasChanged = true;
  private wake: (() => void) | undefined;
  private readonly subscription;
  private readonly unconfirmed;

  constructor(
    private readonly link: Link,
    after: Position | undefined,
    private readonly markers: Fences | undefined,
    private readonly lookAtEnd: FollowOptions['lookAtEnd'],
    deadline: Deadline,
    private readonly stops: readonly AbortSignal[],
  ) {
    this.taken = after;
    const filter = streamNameFilter({
      regex: link.names.pattern(...(markers ? [markers.stream] : [])),
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
        if (!this.hasBegun) void this.begin(after);
        this.hasBegun = true;
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

  /** Whether the log had no further events of ours when the last event was taken. */
  get hasCaughtUp(): boolean {
    return this.isComplete === true && this.isEmpty;
  }

  get isEmpty(): boolean {
    return this.subscription.readableLength === 0;
  }

  /** The position after which the next subscription begins. The position is valid only while the buffer is empty. */
  get readTo(): Position | undefined {
    return laterOf(this.taken, this.checkpoint);
  }

  /** All events of ours up to this commit position have been taken. */
  private get receivedTo(): bigint {
    const taken = this.taken?.commit ?? -1n;
    const known = taken > this.nothingTo ? taken : this.nothingTo;
    if (!this.checkpoint || !this.isEmpty) return known;
    // A checkpoint between two events may have the commit position of the later one, which has not come yet.
    const { commit, prepare } = this.checkpoint;
    const searched = prepare < commit ? commit - 1n : commit;
    return searched > known ? searched : known;
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
      if (this.taken && resolved.event.position.commit < this.taken.commit) {
        // Servers before 24.10 bring new events although the log (restored, perhaps) ends before the place asked for.
        this.fail(endsBefore(resolved.event.position, this.taken));
        break;
      }
      const event = ourEvent(this.link, resolved.event);
      if (event) events.push(event);
      else completeTo = this.markers?.beganAt(resolved.event.id) ?? completeTo;
      this.taken = resolved.event.position;
      this.takenTogether += 1;
    }
    if (this.isEmpty) this.noticeEmpty();
    return { events, ...(completeTo !== undefined && { completeTo }) };
  }

  async end(): Promise<void> {
    clearTimeout(this.unconfirmed);
    clearTimeout(this.nextLook);
    this.hasEnded = true;
    for (const stop of this.stops) stop.removeEventListener('abort', this.notice);
    await this.subscription.unsubscribe().catch(() => undefined);
    this.subscription.destroy();
  }

  /** The server has said for the first time that the subscription has received all events of the log. */
  private async begin(after: Position | undefined): Promise<void> {
    // All events before the server's `caughtUp` are in the buffer, however many they are.
    this.takenTogether = -Infinity;
    // If nothing has come, the log may end before `after`. Newer servers then bring nothing for ever, without an error.
    const hasNothing = () => this.taken === after && this.isEmpty;
    if (after !== undefined && hasNothing()) {
      try {
        const { end = -1n } = await this.lookAtEnd(after.commit);
        if (end < after.commit) throw endsBefore({ commit: end }, after);
      } catch (error) {
        // If an event has come meanwhile, the subscription works, whatever the look has found.
        if (hasNothing()) {
          this.fail(asPortError(error));
          return;
        }
      }
    }
    this.isComplete ??= true;
    this.lookIn(LOOK_EVERY_MS);
    this.notice();
  }

  /** If the buffer was full, the server may hold back more events than it has sent. Then only a look can tell. */
  private noticeEmpty(): void {
    if (this.takenTogether === 0) return;
    if (this.hasBegun && this.takenTogether >= BUFFERED_EVENTS) this.isComplete = false;
    this.takenTogether = 0;
    if (this.isComplete === false) this.lookIn(this.lookedAt + LOOK_AGAIN_MS - performance.now());
  }

  private lookIn(milliseconds: number): void {
    if (this.hasEnded) return;
    clearTimeout(this.nextLook);
    this.nextLook = setTimeout(() => void this.look(), milliseconds);
  }

  /** Looks at the log's end, and finds out whether the subscription has received all events. */
  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    this.lookedAt = performance.now();
    try {
      const { end = -1n, lastOfOurs = -1n } = await this.lookAtEnd(this.receivedTo);
      this.judge(end, lastOfOurs);
    } catch {
      // While the log can't be read, nothing new is known. If it is gone, the subscription fails, too.
    } finally {
      this.isLooking = false;
      this.lookIn(LOOK_EVERY_MS);
      this.notice();
    }
  }

  /** Compares what a look has found with what the subscription has received by now. */
  private judge(end: bigint, lastOfOurs: bigint | 'unknown'): void {
    if (lastOfOurs === 'unknown') return;
    const { receivedTo } = this;
    if (lastOfOurs <= receivedTo) {
      if (end > this.nothingTo) this.nothingTo = end;
      this.missing = undefined;
      this.isComplete = true;
    } else {
      if (this.missing !== undefined && receivedTo < this.missing) this.isComplete = false;
      if (this.missing === undefined || receivedTo >= this.missing) this.missing = lastOfOurs;
    }
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

const endsBefore = (end: Pick<Position, 'commit'>, place: Position): LogUnavailable =>
  new LogUnavailable(`The log ends at ${end.commit}, before the place ${place.commit} of a subscription`);
