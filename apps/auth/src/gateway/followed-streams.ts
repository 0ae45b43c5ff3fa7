import { LRUCache } from 'lru-cache';
import type { Aggregate } from '#domain';
import { foldEvent, type StreamState } from '#event-log';
import type { LogEvent, RecordedEvent } from '#events';

/**
 * A placeholder in the cache for a stream that is being read. Collects the stream's new events, so that no event is
 * lost during the read.
 */
interface Filling {
  /** Events of the stream that arrived during the read. */
  readonly arrived: RecordedEvent[];
  readonly filled: Promise<void>;
}

export interface FollowedStreamsOptions<Id, State, Event extends LogEvent> {
  readonly aggregate: Pick<Aggregate<Id, State, never, Event>, 'stream' | 'evolve'>;
  /** Reads the stream strongly: the state includes everything that was acknowledged before the read. */
  readonly read: (id: Id) => Promise<StreamState<State>>;
  /** The weight of a state, at least 1 (default 1). The sum of the weights in the cache never exceeds `maxSize`. */
  readonly sizeOf?: (state: State) => number;
  readonly maxSize: number;
}

/**
 * Caches the states of one aggregate's streams. A state is read when the state is first needed, and is then updated by
 * the events of a subscription. A full cache forgets the least recently used state. The owner of the subscription must
 * judge how current the states are.
 */
export class FollowedStreams<Id, State, Event extends LogEvent> {
  private readonly entries: LRUCache<string, StreamState<State> | Filling>;

  constructor(private readonly options: FollowedStreamsOptions<Id, State, Event>) {
    this.entries = new LRUCache({ maxSize: options.maxSize });
  }

  /** Returns `undefined` if the state has not been read yet, is being read, or has been forgotten. */
  get(id: Id): State | undefined {
    const entry = this.entries.get(this.options.aggregate.stream(id));
    return entry && 'state' in entry ? entry.state : undefined;
  }

  /**
   * Reads the stream if its state is not in the cache. A full cache may forget the state again before the caller uses
   * the state. Rejects if `read` rejects.
   */
  async fill(id: Id): Promise<void> {
    const stream = this.options.aggregate.stream(id);
    const entry = this.entries.get(stream) ?? this.beginFilling(stream, id);
    if ('filled' in entry) await entry.filled;
  }

  /**
   * Updates the cached state of the event's stream. MUST be called with every event of the log, in order. Events of
   * streams that are not in the cache are ignored.
   */
  apply(event: RecordedEvent): void {
    const { stream } = event;
    const entry = this.entries.peek(stream);
    if (!entry) return;
    if ('filled' in entry) {
      entry.arrived.push(event);
      return;
    }
    try {
      this.keep(stream, foldEvent(this.options.aggregate, entry, event));
    } catch {
      // The event does not fit the state. Only this stream is forgotten. The next `fill` reads this stream again, and
      // rejects if the stream is faulty.
      this.entries.delete(stream);
    }
  }

  /** Forgets the state of one stream. The result of a read that is still running is discarded, too. */
  forget(stream: string): void {
    this.entries.delete(stream);
  }

  /** Forgets all states. The result of a read that is still running is discarded, too. */
  clear(): void {
    this.entries.clear();
  }

  private beginFilling(stream: string, id: Id): Filling {
    const arrived: RecordedEvent[] = [];
    // The read begins in the next microtask, because the entry MUST be in the cache when the read begins.
    const filled = Promise.resolve().then(() => this.readInto(stream, id, entry));
    const entry: Filling = { arrived, filled };
    this.entries.set(stream, entry, { size: 1 });
    return entry;
  }

  private async readInto(stream: string, id: Id, entry: Filling): Promise<void> {
    const { aggregate, read } = this.options;
    const isStillWanted = () => this.entries.peek(stream) === entry;
    try {
      const known = await read(id);
      if (!isStillWanted()) return;
      this.keep(
        stream,
        entry.arrived.reduce((before, event) => foldEvent(aggregate, before, event), known),
      );
    } catch (error) {
      if (isStillWanted()) this.entries.delete(stream);
      throw error;
    }
  }

  private keep(stream: string, { state, revision }: StreamState<State>): void {
    this.entries.set(stream, { state, revision }, { size: this.options.sizeOf?.(state) ?? 1 });
  }
}
