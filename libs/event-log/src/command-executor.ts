import { LRUCache } from 'lru-cache';
import { type Decider, DomainError, type Instant } from '#domain';
import {
  type CommandContext,
  type LogEvent,
  type Position,
  type RecordedEvent,
  type Revision,
  FIRST_HASH,
  seal,
  upcast,
} from '#events';
import { requireCommonClock } from './common-clock.js';
import { CommandIdReused, PreconditionFailed, RevisionConflict } from './errors.js';
import { Patience } from './patience.js';
import type { EventLog } from './port.js';
import { Turns } from './turns.js';

/** A decider and the streams that it decides on. */
export interface Aggregate<Id, State, Command, Event extends LogEvent> extends Decider<State, Command, Event> {
  readonly stream: (id: Id) => string;
}

/** A stream's state, and the place in the log that it was read to. */
export interface Folded<State> {
  readonly state: State;
  /** Of the stream's last event; `undefined` where it has none. */
  readonly revision: Revision | undefined;
  readonly position: Position | undefined;
}

export interface Executed<State> extends Folded<State> {
  /** `repeated`: this very command was carried out before; the state is the one that it left behind then. */
  readonly outcome: 'changed' | 'unchanged' | 'repeated';
}

/** What the cache knows of a stream: its fold, and what the next event must be chained to. */
interface KnownStream<State> extends Folded<State> {
  readonly lastHash: string;
  readonly lastOccurredAt: Instant;
  /** `EventLog.interruptions` when it was read: behind another one the log may be another, restored. */
  readonly interruptions: number;
  /** Facts of the log, shared by all folds of the stream: which command wrote what, and up to which revision. */
  readonly commands: Map<string, { hash: string; revision: Revision }>;
}

export interface ExecuteOptions {
  /** Only where the stream is still at this revision, else `PreconditionFailed` (HTTP `If-Match`). */
  readonly ifMatch?: Revision;
  /** The command's id was made for this very call: nobody can have carried it out before. */
  readonly isNew?: boolean;
}

const MAX_ATTEMPTS = 10;
/** Streams plus remembered commands: bounds the cache to some hundred megabytes at worst. */
const CACHE_SIZE = 200_000;

/**
 * Carries out commands on the streams of one aggregate: read, decide, append; on a conflict read and decide again.
 * Its cache is never believed: what is decided on it counts only where the append's expected revision proves it, and
 * everything else reads the events after the cached revision by a strong read.
 */
export class CommandExecutor<Id, State, Command extends { readonly at: Instant }, Event extends LogEvent> {
  private readonly cache = new LRUCache<string, KnownStream<State>>({
    maxSize: CACHE_SIZE,
    sizeCalculation: ({ commands }) => 1 + commands.size,
  });
  /** So that callers of one stream don't conflict with each other within a process. */
  private readonly turns = new Turns();

  constructor(
    private readonly log: EventLog,
    private readonly aggregate: Aggregate<Id, State, Command, Event>,
  ) {}

  /** The stream's state now: a strong read. Throws `LogUnavailable`, after `PATIENCE_MS` at the latest. */
  read(id: Id): Promise<Folded<State>> {
    return this.readStream(this.aggregate.stream(id), new Patience());
  }

  /**
   * `command` may be a function of the state, where making it is costly or needs to know the state; it is not called
   * for a command that was carried out before. Its `at` is lifted to the stream's last moment.
   *
   * Throws the decider's `DomainError`; `CommandIdReused`; `PreconditionFailed`; `RevisionConflict` when others won
   * 10 times running; `ClockApart`; `LogUnavailable` (then the command may have been carried out, and may be sent
   * again), also when it and those whose turn was before have waited for the log for `PATIENCE_MS`.
   */
  execute(
    id: Id,
    command: Command | ((state: State) => Command | Promise<Command>),
    context: CommandContext,
    options: ExecuteOptions = {},
  ): Promise<Executed<State>> {
    const stream = this.aggregate.stream(id);
    const patience = new Patience();
    return this.turns.take(stream, async () => {
      const changed = await this.changeCached(stream, command, context, options, patience);
      if (changed) return changed;
      for (let attempt = 1; ; attempt++) {
        const known = await this.readStream(stream, patience);
        const done = known.commands.get(context.commandId);
        if (done) return this.repeat(stream, done, context, patience);
        const wish = typeof command === 'function' ? await patience.except(() => command(known.state)) : command;
        try {
          return await this.decideAndAppend(stream, known, wish, context, options, patience);
        } catch (error) {
          if (!(error instanceof RevisionConflict)) throw error;
          if (attempt === MAX_ATTEMPTS) throw error;
        }
      }
    });
  }

  /**
   * Saves the read where the cached state is the stream's: then the append finds the revision that it expects. Refusals
   * and wishes that are already true prove nothing, and are decided again on what is read. Not for ids that may have
   * been used: a store may take the very same events for a resend, and answer as if they were written now.
   */
  private async changeCached(
    stream: string,
    command: Command | ((state: State) => Command | Promise<Command>),
    context: CommandContext,
    options: ExecuteOptions,
    patience: Patience,
  ): Promise<Executed<State> | undefined> {
    const known = this.remembered(stream);
    if (!known || options.isNew !== true || typeof command === 'function') return undefined;
    try {
      const executed = await this.decideAndAppend(stream, known, command, context, options, patience);
      return executed.outcome === 'changed' ? executed : undefined;
    } catch (error) {
      if (error instanceof DomainError || error instanceof PreconditionFailed) return undefined;
      if (error instanceof RevisionConflict) return undefined;
      throw error;
    }
  }

  private async decideAndAppend(
    stream: string,
    known: KnownStream<State>,
    wish: Command,
    context: CommandContext,
    { ifMatch, isNew = false }: ExecuteOptions,
    patience: Patience,
  ): Promise<Executed<State>> {
    requireCommonClock(this.log);
    const at = wish.at < known.lastOccurredAt ? known.lastOccurredAt : wish.at;
    const events = this.aggregate.decide(known.state, { ...wish, at });
    // After the rules (RFC 9110 §13.2.1): who may not see a stream must not learn by a 412 that it is there.
    if (ifMatch !== undefined && known.revision !== ifMatch) throw new PreconditionFailed(stream);
    if (events.length === 0) return { ...known, outcome: 'unchanged' };
    const last = known.revision === undefined ? undefined : { revision: known.revision, hash: known.lastHash };
    const sealed = seal(stream, last, events, context, at);
    const { revision, position } = await this.log.append(stream, known.revision ?? 'none', sealed, patience.left);
    const changed = { state: events.reduce(this.aggregate.evolve, known.state), revision, position };
    // A resend is answered alike: another process may have written these very events, but sealed them otherwise.
    if (isNew) {
      known.commands.set(context.commandId, { hash: context.commandHash, revision });
      const lastHash = sealed.at(-1)?.metadata.hash ?? known.lastHash;
      this.remember(stream, { ...known, ...changed, lastHash, lastOccurredAt: at });
    }
    return { ...changed, outcome: 'changed' };
  }

  private async repeat(
    stream: string,
    done: { hash: string; revision: Revision },
    context: CommandContext,
    patience: Patience,
  ): Promise<Executed<State>> {
    if (done.hash !== context.commandHash) throw new CommandIdReused(context.commandId);
    const limit = Number(done.revision) + 1;
    const events = await this.log.readStream(stream, { limit, consistency: 'strong', ...patience.left });
    const state = events.reduce(
      (before, event) => this.aggregate.evolve(before, this.own(upcast(event))),
      this.aggregate.initial,
    );
    return { state, revision: done.revision, position: events.at(-1)?.position, outcome: 'repeated' };
  }

  private async readStream(stream: string, patience: Patience): Promise<KnownStream<State>> {
    for (;;) {
      const known = this.remembered(stream) ?? this.unknown();
      const from = known.revision === undefined ? 0n : known.revision + 1n;
      const events = await this.log.readStream(stream, { from, consistency: 'strong', ...patience.left });
      // To a log that came back older the fold would be of the future, and never get anything new.
      if (known.revision !== undefined && this.isInterrupted(known)) continue;
      if (events.length === 0) return known;
      const read = events.reduce((before, event) => this.folded(before, event), known);
      this.remember(stream, read);
      return read;
    }
  }

  private folded(known: KnownStream<State>, event: RecordedEvent): KnownStream<State> {
    const { metadata, revision, position } = event;
    known.commands.set(metadata.commandId, { hash: metadata.commandHash, revision });
    return {
      ...known,
      state: this.aggregate.evolve(known.state, this.own(upcast(event))),
      revision,
      position,
      lastHash: metadata.hash,
      lastOccurredAt: metadata.occurredAt,
    };
  }

  private remembered(stream: string): KnownStream<State> | undefined {
    const known = this.cache.get(stream);
    return known && !this.isInterrupted(known) ? known : undefined;
  }

  /** A fold that was read while a newer one was stored must not replace it. */
  private remember(stream: string, known: KnownStream<State>): void {
    const stored = this.cache.peek(stream);
    const isNewer = !stored || this.isInterrupted(stored) || (known.revision ?? -1n) > (stored.revision ?? -1n);
    if (isNewer && !this.isInterrupted(known)) this.cache.set(stream, known);
  }

  private isInterrupted({ interruptions }: KnownStream<State>): boolean {
    return interruptions !== this.log.interruptions;
  }

  private unknown(): KnownStream<State> {
    return {
      state: this.aggregate.initial,
      revision: undefined,
      position: undefined,
      lastHash: FIRST_HASH,
      lastOccurredAt: '',
      interruptions: this.log.interruptions,
      commands: new Map(),
    };
  }

  /** The registry has checked the type; a stream holds its own aggregate's events only. */
  private own(event: LogEvent): Event {
    return event as Event;
  }
}
