import { LRUCache } from 'lru-cache';
import type { Aggregate, Instant } from '#domain';
import { FIRST_HASH, type LogEvent, type Position, type RecordedEvent, type Revision, upcast } from '#events';
import { type Basis, type EventPlace, isWithin, placeOf } from './basis.js';
import type { RevisionConflict } from './errors.js';
import { requireSameLog } from './log-id.js';
import { eventsMissing } from './missing-history.js';
import type { EventLog, StreamReadOptions } from './port.js';
import { IndexIncomplete } from './snapshots/command-index.js';
import type { SnapshotWrites } from './snapshots/snapshot-writes.js';
import { Snapshots } from './snapshots/snapshots.js';
import { type DoneCommand, StreamPast } from './snapshots/stream-past.js';
import type { TimeBudget } from './time-budget.js';

/** The last event that is looked for is among these, or it is the event at `from`. -1: there is no event before. */
interface RevisionRange {
  readonly from: Revision;
  readonly through: Revision;
}

const around = (revision: Revision): RevisionRange => ({ from: revision, through: revision });

/** What the caller of a read expects of the stream. */
export type StreamHint = Pick<StreamReadOptions, 'isProbablyMissing'>;

/** The state that results from a stream's events up to `revision`. */
export interface StreamState<State> {
  readonly state: State;
  /** The revision of the last event in the state; `undefined` if the stream has no event. */
  readonly revision: Revision | undefined;
}

/** A stream's state, and the log position of the last event in the state. */
export interface Folded<State> extends StreamState<State> {
  readonly position: Position | undefined;
}

/** The state that a stream had at some time in the past. */
export interface PastState<State> {
  readonly state: State;
  /** The last event that is in the state. `undefined`: the stream had no event then. */
  readonly last: EventPlace | undefined;
}

/**
 * The facts about a stream that a command needs: the stream's state, the hash and time of its last event, and its
 * earlier commands.
 */
export interface KnownStream<State> extends Folded<State> {
  readonly lastHash: string;
  readonly lastOccurredAt: Instant;
  /** The value of `EventLog.connectionEpoch` (the number of lost connections) before the stream was read. */
  readonly connectionEpoch: number;
  /** The stream's earlier commands and states. All states of the stream share this object. */
  readonly past: StreamPast<State>;
}

/**
 * Largest size of the cache: the number of streams, plus the number of commands and earlier states that are remembered.
 * At this size the cache takes a few hundred megabytes at worst.
 */
const MAX_SIZE = 200_000;

/** Number of events that are read and folded before the result is remembered. */
const PAGE_EVENTS = 500;
/** Number of events of an unknown stream that are read first. Only a stream with as many events may have a snapshot. */
const FIRST_PAGE_EVENTS = 100;

/**
 * A bounded cache of the states of one aggregate's streams. Without the cache, every state would have to be computed
 * from all events of its stream. A cached state may be outdated, so a cached state always needs proof:
 *
 * 1. `current` reads the events after the remembered revision by a strong read (a read that returns every event
 *    acknowledged before), and adds these events to the remembered state.
 * 2. `remembered` returns a state that may be outdated. Code that decides on this state MUST prove that the state is
 *    current, by an append that expects the state's revision.
 * 3. An older state never replaces a newer state. This holds even if reads and appends of a stream end in a different
 *    order than they began.
 * 4. A state that was read before the last loss of the log's connection (in another connection epoch) is never used.
 *    During the loss, the log may have been restored to an older state. The remembered state could then contain events
 *    that the log no longer has.
 * 5. A stream is read in pages, and the state is remembered after each page. If a caller's time ends before the stream
 *    does, the next caller continues from the last page. So a stream of any length can be read in the end.
 */
export class StreamStates<State, Event extends LogEvent> {
  /**
   * `maxSize` bounds this cache. With `max`, `LRUCache` would allocate its tables in full at once. `LRUCache` stores no
   * entry above `maxSize`, so a stream with more commands counts as `MAX_SIZE`, and is then the only stream here.
   */
  private readonly cache = new LRUCache<string, KnownStream<State>>({
    maxSize: MAX_SIZE,
    sizeCalculation: ({ past }) => Math.min(1 + past.size, MAX_SIZE),
  });
  private readonly snapshots: Snapshots<State>;
  /** The connection epoch in which the log was seen to be the same log. */
  private sameLogEpoch: number;

  constructor(
    private readonly log: EventLog,
    private readonly logId: string,
    private readonly aggregate: Pick<Aggregate<never, State, never, Event>, 'initial' | 'evolve' | 'stateVersion'>,
    writes: SnapshotWrites,
  ) {
    this.sameLogEpoch = log.connectionEpoch;
    this.snapshots = new Snapshots({ log, logId, stateVersion: aggregate.stateVersion, writes });
  }

  /**
   * Returns the stream's current state, by a strong read (a read that returns every event acknowledged before). Throws
   * `LogUnavailable`.
   */
  current(stream: string, budget: TimeBudget, hint?: StreamHint): Promise<KnownStream<State>> {
    return this.readFrom(() => this.remembered(stream) ?? this.unknown(), stream, budget, { hint });
  }

  /**
   * Returns the stream's current state, and the command with this id if the stream contains it. Throws
   * `LogUnavailable`.
   */
  async currentWith(
    stream: string,
    { commandId, isNew }: { readonly commandId: string; readonly isNew: boolean },
    budget: TimeBudget,
    hint?: StreamHint,
  ): Promise<{ readonly known: KnownStream<State>; readonly done: DoneCommand | undefined }> {
    const remembered = isNew ? undefined : this.remembered(stream)?.past;
    const isToSeek = remembered && !remembered.recentCommand(commandId);
    const early = isToSeek ? this.earlyLookup(stream, remembered, commandId, budget) : undefined;
    const known = await this.current(stream, budget, hint);
    const recent = known.past.recentCommand(commandId);
    if (recent || isNew) return { known, done: recent };
    try {
      const isEnough = early?.coverage === known.past.coverage;
      return {
        known,
        done: await (isEnough ? early.done : this.snapshots.command(stream, known.past, commandId, budget)),
      };
    } catch (error) {
      if (!(error instanceof IndexIncomplete)) throw error;
      return this.rebuiltWith(stream, commandId, budget);
    }
  }

  /**
   * Looks for a command in the index that is known now, so that this takes no round trip after the read of the stream.
   * The result counts as long as `coverage` is what the newest snapshot covers.
   */
  private earlyLookup(stream: string, past: StreamPast<State>, commandId: string, budget: TimeBudget) {
    const { coverage } = past;
    const done = this.snapshots.command(stream, past, commandId, budget);
    // If the result is not needed, nobody waits for its error.
    done.catch(() => undefined);
    return { coverage, done };
  }

  /** Does the same as `currentWith` by reading all events of the stream. The index of commands is made again. */
  private async rebuiltWith(stream: string, commandId: string, budget: TimeBudget) {
    this.snapshots.distrust(stream);
    this.cache.delete(stream);
    let done: DoneCommand | undefined;
    const onEvent = ({ metadata, revision }: RecordedEvent) => {
      if (metadata.commandId === commandId) done = { hash: metadata.commandHash, revision };
    };
    const known = await this.readFrom(() => this.unknown(), stream, budget, { onEvent });
    return { known, done };
  }

  /** Reads the stream from a known state to its end. `onEvent` gets each event that is added to the state. */
  private async readFrom(
    start: () => KnownStream<State>,
    stream: string,
    budget: TimeBudget,
    { onEvent, hint }: { readonly onEvent?: (event: RecordedEvent) => void; readonly hint?: StreamHint | undefined },
  ): Promise<KnownStream<State>> {
    let known = start();
    let mayHaveSnapshot = !onEvent;
    for (;;) {
      const isUnknown = known.revision === undefined;
      const from = known.revision === undefined ? 0n : known.revision + 1n;
      const limit = isUnknown ? FIRST_PAGE_EVENTS : PAGE_EVENTS;
      if (this.sameLogEpoch !== this.log.connectionEpoch) await this.requireSameLog(budget);
      const page = { from, limit, consistency: 'strong', ...(isUnknown && hint) } as const;
      const events = await this.log.readStream(stream, { ...page, ...budget.remaining });
      if (!this.isOfThisEpoch(known)) {
        known = start();
        continue;
      }
      const last = events.at(-1);
      if (!last) return known;
      // A full page may be followed by many more. Then the snapshot is looked for, once.
      const looks = mayHaveSnapshot && events.length === limit;
      const restored = looks ? await this.fromSnapshot(stream, known, last.revision, budget) : undefined;
      if (looks) mayHaveSnapshot = false;
      known = restored?.known ?? events.reduce((before, event) => this.withEvent(before, event), known);
      if (onEvent) events.forEach(onEvent);
      this.remember(stream, known);
      if (restored?.isCurrent ?? events.length < limit) return known;
    }
  }

  /**
   * Returns the stream's state as it was at this revision, by a strong read. `past` belongs to a state that is not
   * older. Throws `LogUnavailable`.
   */
  async at(stream: string, revision: Revision, past: StreamPast<State>, budget: TimeBudget): Promise<Folded<State>> {
    const { state, last } = await this.foldedTo(stream, { by: 'revision', revision }, around(revision), past, budget);
    return { state, revision, position: last?.position };
  }

  /**
   * Returns the stream's state as the basis names it, by strong reads. The cost grows with the logarithm of the stream's
   * length: see `Snapshots`. A basis beyond the stream's end gives the present state. A short stream that this process
   * does not remember is not remembered either, so that an audit does not displace the states that logins need. Throws
   * `LogUnavailable`, `HistoryMissing`.
   */
  async asOf(stream: string, basis: Basis, budget: TimeBudget): Promise<PastState<State>> {
    if (this.sameLogEpoch !== this.log.connectionEpoch) await this.requireSameLog(budget);
    const first = { limit: FIRST_PAGE_EVENTS, consistency: 'strong', ...budget.remaining } as const;
    if ((this.remembered(stream)?.revision ?? 0n) < FIRST_PAGE_EVENTS) {
      const events = await this.log.readStream(stream, first);
      if (events.length < FIRST_PAGE_EVENTS)
        return this.folded(events.filter((each) => isWithin(basis, placeOf(each))));
    }
    const { state, revision, position, lastOccurredAt, past } = await this.current(stream, budget);
    if (revision === undefined || position === undefined) return { state, last: undefined };
    const end = { revision, position, occurredAt: lastOccurredAt };
    if (isWithin(basis, end)) return { state, last: end };
    const range =
      basis.by === 'revision' ? around(basis.revision) : await this.lastWithin(stream, basis, revision, budget);
    return this.foldedTo(stream, basis, range, past, budget);
  }

  /**
   * Finds the stream's last event within the basis, up to a range that is read at once: a round trip costs more than
   * some more events. The event at `beyond` is not within the basis.
   */
  private async lastWithin(stream: string, basis: Basis, beyond: Revision, budget: TimeBudget): Promise<RevisionRange> {
    let [from, through] = [-1n, beyond - 1n];
    while (through - from >= BigInt(FIRST_PAGE_EVENTS)) {
      const middle = (from + through + 1n) / 2n;
      const [event] = await this.log.readStream(stream, {
        ...{ from: middle, limit: 1, consistency: 'strong', ...budget.remaining },
      });
      if (!event) throw eventsMissing(stream, middle, beyond);
      if (isWithin(basis, placeOf(event))) from = middle;
      else through = middle - 1n;
    }
    return { from, through };
  }

  private folded(events: readonly RecordedEvent[]): PastState<State> {
    const start: StreamState<State> = { state: this.aggregate.initial, revision: undefined };
    const { state } = events.reduce((before, event) => foldEvent(this.aggregate, before, event), start);
    const last = events.at(-1);
    return { state, last: last && placeOf(last) };
  }

  /** Returns the state after the last event within the basis. This event is in the range; at -1: there may be none. */
  private async foldedTo(
    stream: string,
    basis: Basis,
    { from, through }: RevisionRange,
    past: StreamPast<State>,
    budget: TimeBudget,
  ): Promise<PastState<State>> {
    const earlier = await this.snapshots.earlier(stream, past, { revision: from, through }, budget);
    const limit = Number(through) + 1;
    const read = earlier
      ? [earlier.last, ...earlier.later]
      : await this.log.readStream(stream, { limit, consistency: 'strong', ...budget.remaining });
    const found = read.at(-1)?.revision ?? -1n;
    if (found < through) throw eventsMissing(stream, found + 1n, through);
    const events = read.filter((event) => isWithin(basis, placeOf(event)));
    const start: StreamState<State> = earlier
      ? { state: earlier.state, revision: earlier.last.revision }
      : { state: this.aggregate.initial, revision: undefined };
    const { state } = events.reduce((before, event) => foldEvent(this.aggregate, before, event), start);
    const last = events.at(-1);
    return { state, last: last && placeOf(last) };
  }

  /**
   * Throws `HistoryMissing` if an append met a stream that ends before the events that we know. But what was read in an
   * earlier connection epoch counts no more, because the log may have been restored since. Throws `LogUnavailable`.
   */
  async requireKnownEvents(
    stream: string,
    known: KnownStream<State>,
    { actual = -1n }: RevisionConflict,
    budget: TimeBudget,
  ): Promise<void> {
    const { revision } = known;
    if (revision === undefined || actual >= revision || !this.isOfThisEpoch(known)) return;
    const read = { from: revision, limit: 1, consistency: 'strong', ...budget.remaining } as const;
    if ((await this.log.readStream(stream, read)).length > 0) return;
    const error = eventsMissing(stream, actual + 1n, revision);
    this.log.missingHistory.note(error);
    throw error;
  }

  remembered(stream: string): KnownStream<State> | undefined {
    const known = this.cache.get(stream);
    return known && this.isOfThisEpoch(known) ? known : undefined;
  }

  /**
   * Returns the state of a stream without events. Code that decides on this state MUST prove it, by an append that
   * expects no stream. Returns `undefined` if the log may have been exchanged since the last read.
   */
  empty(): KnownStream<State> | undefined {
    return this.sameLogEpoch === this.log.connectionEpoch ? this.unknown() : undefined;
  }

  remember(stream: string, known: KnownStream<State>): void {
    const stored = this.cache.peek(stream);
    const isNewer = !stored || !this.isOfThisEpoch(stored) || (known.revision ?? -1n) > (stored.revision ?? -1n);
    if (!isNewer || !this.isOfThisEpoch(known)) return;
    this.cache.set(stream, known);
    this.snapshots.consider(stream, known);
  }

  /**
   * Returns the state of the stream's newest snapshot with the events of one more page. Returns `undefined` if there is
   * no snapshot that is ahead of the events which were read already, up to the revision `readTo`.
   */
  private async fromSnapshot(
    stream: string,
    before: KnownStream<State>,
    readTo: Revision,
    budget: TimeBudget,
  ): Promise<{ readonly known: KnownStream<State>; readonly isCurrent: boolean } | undefined> {
    const snapshot = await this.snapshots.newest(stream, PAGE_EVENTS, budget);
    if (!snapshot || !this.isOfThisEpoch(before)) return undefined;
    if (snapshot.last.revision <= readTo) return undefined;
    const { state, past, last, later } = snapshot;
    const { revision, position, metadata } = last;
    const { hash: lastHash, occurredAt: lastOccurredAt } = metadata;
    const stored: KnownStream<State> = { ...before, state, past, revision, position, lastHash, lastOccurredAt };
    const known = later.reduce((folded, event) => this.withEvent(folded, event), stored);
    return { known, isCurrent: later.length + 1 < PAGE_EVENTS };
  }

  private withEvent(known: KnownStream<State>, event: RecordedEvent): KnownStream<State> {
    const { metadata, revision, position } = event;
    known.past.addCommand(metadata.commandId, { hash: metadata.commandHash, revision });
    return {
      ...known,
      ...foldEvent(this.aggregate, known, event),
      position,
      lastHash: metadata.hash,
      lastOccurredAt: metadata.occurredAt,
    };
  }

  /** After the connection was lost, the log may be another one. */
  private async requireSameLog(budget: TimeBudget): Promise<void> {
    const { connectionEpoch } = this.log;
    await requireSameLog(this.log, this.logId, budget.remaining);
    this.sameLogEpoch = connectionEpoch;
  }

  /** Whether the state was read since the last loss of the log's connection. See point 4 of `StreamStates`. */
  isOfThisEpoch({ connectionEpoch }: KnownStream<State>): boolean {
    return connectionEpoch === this.log.connectionEpoch;
  }

  private unknown(): KnownStream<State> {
    return {
      state: this.aggregate.initial,
      revision: undefined,
      position: undefined,
      lastHash: FIRST_HASH,
      lastOccurredAt: '',
      connectionEpoch: this.log.connectionEpoch,
      past: new StreamPast(),
    };
  }
}

/**
 * Adds the stream's next event to the state. Returns the unchanged state if the state already contains the event.
 * Throws `HistoryMissing` if an event in between is missing. Throws `UnknownEvent`.
 */
export function foldEvent<State, Event extends LogEvent>(
  { evolve }: Pick<Aggregate<never, State, never, Event>, 'evolve'>,
  known: StreamState<State>,
  recorded: RecordedEvent,
): StreamState<State> {
  const next = (known.revision ?? -1n) + 1n;
  const { stream, revision } = recorded;
  if (revision < next) return known;
  if (revision > next) throw eventsMissing(stream, next, revision - 1n);
  // The cast to `Event` below is safe: `upcast` has checked the event's type, and a stream holds only events of its own
  // aggregate.
  const event: LogEvent = upcast(recorded);
  return { state: evolve(known.state, event as Event), revision };
}
