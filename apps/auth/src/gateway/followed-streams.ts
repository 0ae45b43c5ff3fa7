import { LRUCache } from 'lru-cache';
import type { Aggregate, Folded } from '#event-log';
import { type LogEvent, type RecordedEvent, type Revision, upcast } from '#events';

/** The state of a stream as far as its events have come by. */
interface Known<State> {
  readonly state: State;
  readonly revision: Revision | undefined;
}

/** In its place before the stream is read, so that no event can slip through between the read and the entry. */
interface Filling {
  /** Events that came by meanwhile. */
  readonly arrived: RecordedEvent[];
  readonly filled: Promise<void>;
}

export interface FollowedStreamsOptions<Id, State, Event extends LogEvent> {
  readonly aggregate: Pick<Aggregate<Id, State, never, Event>, 'stream' | 'evolve'>;
  /** The stream as it is: a strong read. */
  readonly read: (id: Id) => Promise<Folded<State>>;
  /** How much a state takes up, 1 at least (default 1); all of them together hold `maxSize`. */
  readonly sizeOf?: (state: State) => number;
  readonly maxSize: number;
}

/**
 * States of one aggregate's streams: read when first asked for, from then on kept current by the log's events, the least
 * recently used forgotten. How current they are is for the one to judge who brings the events.
 */
export class FollowedStreams<Id, State, Event extends LogEvent> {
  private readonly entries: LRUCache<string, Known<State> | Filling>;

  constructor(private readonly options: FollowedStreamsOptions<Id, State, Event>) {
    this.entries = new LRUCache({ maxSize: options.maxSize });
  }

  /** `undefined` where it was not asked for yet, is being read, or was forgotten. */
  get(id: Id): State | undefined {
    const entry = this.entries.get(this.options.aggregate.stream(id));
    return entry && 'state' in entry ? entry.state : undefined;
  }

  /** Reads the stream, if it is not there. Once that is done it may have been forgotten again. Rejects as `read` does. */
  async fill(id: Id): Promise<void> {
    const stream = this.options.aggregate.stream(id);
    const entry = this.entries.get(stream) ?? this.beginFilling(stream, id);
    if ('filled' in entry) await entry.filled;
  }

  /** The log's events come here one after another, be they of these streams or of others. */
  apply(event: RecordedEvent): void {
    const { stream } = event;
    const entry = this.entries.peek(stream);
    if (!entry) return;
    if ('filled' in entry) {
      entry.arrived.push(event);
      return;
    }
    try {
      this.keep(stream, this.applied(entry, event));
    } catch {
      // Not to be held against the others: the next to ask reads the stream, and meets there what is wrong.
      this.entries.delete(stream);
    }
  }

  /** Forgets everything, reads under way included. */
  clear(): void {
    this.entries.clear();
  }

  private beginFilling(stream: string, id: Id): Filling {
    const arrived: RecordedEvent[] = [];
    // A turn later: the entry must be there when the read begins.
    const filled = Promise.resolve().then(() => this.readInto(stream, id, entry));
    const entry: Filling = { arrived, filled };
    this.entries.set(stream, entry, { size: 1 });
    return entry;
  }

  private async readInto(stream: string, id: Id, entry: Filling): Promise<void> {
    const isStillWanted = () => this.entries.peek(stream) === entry;
    try {
      const read: Known<State> = await this.options.read(id);
      if (!isStillWanted()) return;
      this.keep(
        stream,
        entry.arrived.reduce((known, event) => this.applied(known, event), read),
      );
    } catch (error) {
      if (isStillWanted()) this.entries.delete(stream);
      throw error;
    }
  }

  private applied(known: Known<State>, event: RecordedEvent): Known<State> {
    const next = (known.revision ?? -1n) + 1n;
    if (event.revision < next) return known;
    if (event.revision > next) throw new Error(`${event.stream} went from revision ${next - 1n} to ${event.revision}`);
    return { state: this.options.aggregate.evolve(known.state, this.own(upcast(event))), revision: event.revision };
  }

  /** The registry has checked the type; a stream holds its own aggregate's events only. */
  private own(event: LogEvent): Event {
    return event as Event;
  }

  private keep(stream: string, { state, revision }: Known<State>): void {
    this.entries.set(stream, { state, revision }, { size: this.options.sizeOf?.(state) ?? 1 });
  }
}
