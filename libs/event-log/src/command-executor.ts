import { setTimeout as delay } from 'node:timers/promises';
import { type Aggregate, DomainError, type Instant } from '#domain';
import {
  type CommandContext,
  type EventVersions,
  type LogEvent,
  requireWritable,
  type Revision,
  seal,
  upcast,
} from '#events';
import type { Basis } from './basis.js';
import type { CallOptions } from './call-options.js';
import { requireCommonClock } from './clocks.js';
import { CommandIdReused, PreconditionFailed, RevisionConflict, StreamIsQuarantined } from './errors.js';
import { KeyedQueue } from './keyed-queue.js';
import type { EventLog } from './port.js';
import { Quarantines } from './quarantines.js';
import { SnapshotWrites } from './snapshots/snapshot-writes.js';
import type { DoneCommand } from './snapshots/stream-past.js';
import { type Folded, type KnownStream, type PastState, type StreamHint, StreamStates } from './stream-states.js';
import { TimeBudget } from './time-budget.js';

export interface Executed<State> extends Folded<State> {
  /**
   * `repeated`: this very command was carried out before. In this case `state` is the state that the command left
   * behind at that time.
   */
  readonly outcome: 'changed' | 'unchanged' | 'repeated';
}

/** The stream on which a dry run was decided. */
export interface Previewed<State> extends Folded<State> {
  /** The state that the command would leave behind. */
  readonly after: State;
}

/**
 * A command's context (who sends the command, under which id), and the condition on which the command is carried out.
 */
export interface CommandRequest extends CallOptions {
  readonly context: CommandContext;
  /**
   * The command is carried out only if the stream is still at this revision, or exists; otherwise `PreconditionFailed`
   * is thrown (HTTP `If-Match`).
   */
  readonly ifMatch?: Revision | 'exists';
  /** Whether the command's id was made for this call. A command with a new id can't have been carried out before. */
  readonly isNew?: boolean;
  /**
   * What the caller knows about a stream that the command begins. `missing`: the stream's id was made for this call, or
   * the caller has found no event by a strong read of its own; the command is then decided without another read.
   * `probably missing`: the first read of the stream should also find out whether the stream was deleted.
   */
  readonly stream?: 'missing' | 'probably missing';
}

const MAX_ATTEMPTS = 10;
/**
 * After the second conflict, the executor waits four times as many ms, and twice as long after each further one. A
 * server refuses an append by what it is about to write, and a slow disk may keep readers from seeing that for a while.
 */
const CONFLICT_PAUSE_MS = 2;

/**
 * Carries out commands on the streams of one aggregate:
 *
 * 1. In this process, the commands for one stream run one at a time. So these commands don't conflict with each other.
 * 2. A command with a new id is first decided on the remembered state (the stream's state in this process's cache),
 *    which saves a read. The decision counts only if it makes events and their append succeeds: the append expects the
 *    revision of the remembered state, so the success proves that this state was current. If the command is refused or
 *    changes nothing, the remembered state may be outdated, so the command is decided again from step 3 on. A command
 *    whose id may have been used before skips step 2, because the store could take the append for a repetition of an
 *    earlier append.
 *    A stream that the caller knows to be missing is treated in the same way: the command is decided on the state
 *    without events, and the append expects no stream. This also holds for ids that may have been used before: the
 *    caller's own read has shown that the command was not carried out.
 * 3. If step 2 did not carry the command out, the stream is read by a strong read (a read that returns every event
 *    acknowledged before).
 * 4. If an event of the stream carries the command's id, the command was carried out before. The outcome is then
 *    `repeated`.
 * 5. Otherwise the aggregate decides the command, `ifMatch` is compared, and the events are appended. The append
 *    expects the revision that was read.
 * 6. If another process has written to the stream since the read, the executor continues with step 3. The executor
 *    makes at most ten attempts, with growing pauses between them.
 *
 * If the stream is quarantined, `StreamIsQuarantined` is thrown instead.
 */
export class CommandExecutor<Id, State, Command extends { readonly at: Instant }, Event extends LogEvent> {
  private readonly states: StreamStates<State, Event>;
  private readonly queue = new KeyedQueue();

  constructor(
    private readonly log: EventLog,
    logId: string,
    private readonly aggregate: Aggregate<Id, State, Command, Event>,
    private readonly eventVersions: EventVersions = 'current',
    snapshotWrites = new SnapshotWrites(),
    private readonly quarantines = new Quarantines(log),
  ) {
    this.states = new StreamStates(log, logId, aggregate, snapshotWrites);
  }

  /**
   * Returns the current state of the stream. The state contains every event that was acknowledged before this call.
   * Throws `StreamIsQuarantined`. Throws `LogUnavailable`, at the deadline at the latest (default `LOG_TIME_BUDGET_MS`).
   */
  read(id: Id, { deadlineMs, ...hint }: CallOptions & StreamHint = {}): Promise<Folded<State>> {
    const stream = this.aggregate.stream(id);
    const budget = new TimeBudget(deadlineMs);
    return this.unlessQuarantined(stream, budget, () => this.states.current(stream, budget, hint));
  }

  /**
   * Does the same as `read`, but a quarantined stream counts as a stream without events. For callers that refuse
   * whatever has no events. MUST NOT be used to decide a command.
   */
  async readUsable(id: Id, options?: CallOptions): Promise<Folded<State>> {
    try {
      return await this.read(id, options);
    } catch (error) {
      if (!(error instanceof StreamIsQuarantined)) throw error;
      return { state: this.aggregate.initial, revision: undefined, position: undefined };
    }
  }

  /**
   * Returns the state that the stream had in the past. Never changes what it has answered once, whatever is appended
   * later. A quarantined stream is read like any other: its history concerns auditors, too. Throws `LogUnavailable`,
   * `HistoryMissing`.
   */
  asOf(id: Id, basis: Basis, { deadlineMs }: CallOptions = {}): Promise<PastState<State>> {
    return this.states.asOf(this.aggregate.stream(id), basis, new TimeBudget(deadlineMs));
  }

  /**
   * Returns the state that this process remembers of the stream, or `undefined` if it remembers none. The state may be
   * outdated. It tells what is worth reading, and MUST NOT decide anything.
   */
  remembered(id: Id): State | undefined {
    return this.states.remembered(this.aggregate.stream(id))?.state;
  }

  /**
   * Carries out a command. `command` may be a function of the state and its revision, if making the command is costly or
   * needs them. The function is not called if the command was carried out before.
   *
   * The aggregate decides by the command's own `at`. Only the events' `occurredAt` is raised: it is never earlier than
   * the `occurredAt` of the stream's last event, which a wrong clock may have dated too late.
   *
   * Throws the aggregate's `DomainError`, `CommandIdReused`, `PreconditionFailed`, `StreamIsQuarantined`, `ClockApart`,
   * `RevisionConflict` and `LogUnavailable`. `RevisionConflict` means that in each of 10 attempts, another process wrote
   * to the stream first. `LogUnavailable` is also thrown if the wait in the queue and the command together take longer
   * than the deadline (default `LOG_TIME_BUDGET_MS`). If `command` is a function, the time that it takes does not count.
   * After `LogUnavailable` the command may have been carried out. The caller may send the same command again.
   */
  execute(
    id: Id,
    command: Command | ((state: State, revision: Revision | undefined) => Command | Promise<Command>),
    request: CommandRequest,
  ): Promise<Executed<State>> {
    const stream = this.aggregate.stream(id);
    const budget = new TimeBudget(request.deadlineMs);
    return this.queue.run(stream, async () => {
      const commandOn = async ({ state, revision }: Folded<State>) =>
        typeof command === 'function' ? budget.untimed(() => command(state, revision)) : command;
      const assumed = this.assumed(stream, request, typeof command === 'function');
      if (assumed) {
        const changed = await this.changeAssumed(stream, assumed, commandOn, request, budget);
        if (changed) return changed;
      }
      for (let attempt = 1; ; attempt++) {
        const { commandId } = request.context;
        const id = { commandId, isNew: request.isNew === true };
        const hint = { isProbablyMissing: request.stream !== undefined };
        const { known, done } = await this.unlessQuarantined(stream, budget, () =>
          this.states.currentWith(stream, id, budget, hint),
        );
        if (done) return this.repeat(stream, known, done, request.context, budget);
        const decided = await commandOn(known);
        try {
          return await this.decideAndAppend(stream, known, decided, request, budget);
        } catch (error) {
          if (!(error instanceof RevisionConflict)) throw error;
          await this.states.requireKnownEvents(stream, known, error, budget);
          if (attempt === MAX_ATTEMPTS) throw error;
          if (attempt > 1) await delay(CONFLICT_PAUSE_MS * 2 ** attempt);
        }
      }
    });
  }

  /**
   * Decides a command by a strong read, as `execute` does, but appends nothing: a dry run. The command counts as new.
   * Throws what `execute` throws before the append.
   */
  async preview(
    id: Id,
    command: Command | ((state: State) => Promise<Command>),
    { ifMatch, deadlineMs }: Pick<CommandRequest, 'ifMatch' | 'deadlineMs'>,
  ): Promise<Previewed<State>> {
    const known = await this.read(id, deadlineMs === undefined ? {} : { deadlineMs });
    const decided = typeof command === 'function' ? await command(known.state) : command;
    const events = this.decide(this.aggregate.stream(id), known, decided, ifMatch);
    for (const event of events) requireWritable(event, this.eventVersions);
    return { ...known, after: events.reduce(this.aggregate.evolve, known.state) };
  }

  /**
   * Returns the state on which step 2 of `CommandExecutor` decides the command. Returns `undefined` if step 2 is
   * skipped: also for a command that has to be made from the state, unless the stream is missing.
   */
  private assumed(
    stream: string,
    { isNew = false, stream: known }: CommandRequest,
    isMade: boolean,
  ): KnownStream<State> | undefined {
    if (known === 'missing') return this.states.empty();
    return isNew && !isMade ? this.states.remembered(stream) : undefined;
  }

  /**
   * Carries out step 2 of `CommandExecutor`: decides the command on an assumed state. Returns `undefined` if the
   * decision does not count.
   */
  private async changeAssumed(
    stream: string,
    assumed: KnownStream<State>,
    commandOn: (known: Folded<State>) => Promise<Command>,
    request: CommandRequest,
    budget: TimeBudget,
  ): Promise<Executed<State> | undefined> {
    try {
      const command = await commandOn(assumed);
      const executed = await this.decideAndAppend(stream, assumed, command, request, budget);
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
    command: Command,
    { context, ifMatch, isNew = false }: CommandRequest,
    budget: TimeBudget,
  ): Promise<Executed<State>> {
    const events = this.decide(stream, known, command, ifMatch);
    if (events.length === 0) return { ...known, outcome: 'unchanged' };
    const last = known.revision === undefined ? undefined : { revision: known.revision, hash: known.lastHash };
    const occurredAt = command.at < known.lastOccurredAt ? known.lastOccurredAt : command.at;
    const sealed = seal(stream, last, events, context, occurredAt, this.eventVersions);
    await this.quarantines.requireFree(stream, budget.remaining);
    // The log may have been restored and adopted since the state was read. The stream could be as long as before.
    if (!this.states.isOfThisEpoch(known)) throw new RevisionConflict(stream, known.revision ?? 'none', undefined);
    const { revision, position } = await this.log.append(stream, known.revision ?? 'none', sealed, budget.remaining);
    // Not the decided events, but the stored ones: an older version may mean something else (`EVENT_VERSIONS`).
    const stored = sealed.map((event) => upcast({ ...event, stream }) as LogEvent as Event);
    const changed = { state: stored.reduce(this.aggregate.evolve, known.state), revision, position };
    // The state is remembered only after a command with a new id. For any other id, the store may have taken the append
    // for a repetition of another process's append. The stored events then have other hashes than ours.
    if (isNew) {
      known.past.addCommand(context.commandId, { hash: context.commandHash, revision });
      const lastHash = sealed.at(-1)?.metadata.hash ?? known.lastHash;
      this.states.remember(stream, { ...known, ...changed, lastHash, lastOccurredAt: occurredAt });
    }
    return { ...changed, outcome: 'changed' };
  }

  private decide(stream: string, known: Folded<State>, command: Command, ifMatch: CommandRequest['ifMatch']): Event[] {
    requireCommonClock(this.log);
    const events = this.aggregate.decide(known.state, command);
    // `ifMatch` is compared only after the aggregate has decided (RFC 9110 §13.2.1). Otherwise a caller who may not see
    // a stream could learn from a 412 response that the stream exists.
    const isMatch = ifMatch === 'exists' ? known.revision !== undefined : known.revision === ifMatch;
    if (ifMatch !== undefined && !isMatch) throw new PreconditionFailed(stream);
    return events;
  }

  /** Throws `StreamIsQuarantined`, whatever becomes of the read. The read begins together with a look that is needed. */
  private async unlessQuarantined<T>(stream: string, budget: TimeBudget, read: () => Promise<T>): Promise<T> {
    const looking = this.quarantines.inForce(budget.remaining);
    const reading = read();
    reading.catch(() => undefined);
    if ((await looking).has(stream)) throw new StreamIsQuarantined(stream);
    return reading;
  }

  private async repeat(
    stream: string,
    { past }: KnownStream<State>,
    done: DoneCommand,
    context: CommandContext,
    budget: TimeBudget,
  ): Promise<Executed<State>> {
    if (done.hash !== context.commandHash) throw new CommandIdReused(context.commandId);
    return { ...(await this.states.at(stream, done.revision, past, budget)), outcome: 'repeated' };
  }
}
