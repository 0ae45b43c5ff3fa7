import type { Revision } from '#events';
import type { Run } from './command-index.js';

/** A command that was carried out before. */
export interface DoneCommand {
  readonly hash: string;
  /** The revision of the last event that the command wrote. */
  readonly revision: Revision;
}

/** What the newest snapshot covers: all events of the stream up to `revision`. */
export interface Coverage {
  /** -1n if there is no snapshot. */
  readonly revision: Revision;
  /** The index of the commands up to `revision`. */
  readonly runs: readonly Run[];
  /** Earlier states of the stream, oldest first: the revision of each state, and the part that holds the state. */
  readonly states: readonly (readonly [revision: number, part: number])[];
}

/** A state of the stream, and the hash of the last event in the state. */
export interface HashedState<State> {
  readonly state: State;
  readonly revision: Revision;
  readonly hash: string;
}

/** Number of events between two states that are kept for answers to repeated commands. */
const EVENTS_BETWEEN_STATES = 500n;

/**
 * What is known about a stream's earlier events, apart from its state. These facts are the same for all states of the
 * stream, so the states share one object. Everything up to the newest snapshot is in the store. The memory holds only
 * the later commands and states.
 */
export class StreamPast<State> {
  private readonly recent = new Map<string, DoneCommand>();
  private states: HashedState<State>[] = [];
  private covered: Coverage;
  /** The revision of the last attempt to write a snapshot. */
  attemptedAt: Revision;

  constructor(coverage: Coverage = { revision: -1n, runs: [], states: [] }) {
    this.covered = coverage;
    this.attemptedAt = coverage.revision;
  }

  /** The number of items in memory. */
  get size(): number {
    return this.recent.size + this.states.length + this.covered.states.length;
  }

  get coverage(): Coverage {
    return this.covered;
  }

  /** Returns the command if it was carried out after the newest snapshot. */
  recentCommand(commandId: string): DoneCommand | undefined {
    return this.recent.get(commandId);
  }

  addCommand(commandId: string, done: DoneCommand): void {
    this.recent.set(commandId, done);
  }

  /** Keeps the state, unless a state of about the same revision is kept already. */
  keepState(state: HashedState<State>): void {
    if (state.revision >= this.lastKept + EVENTS_BETWEEN_STATES) this.states.push(state);
  }

  /** Returns what a snapshot at this revision has to add to the store. */
  uncovered(upTo: Revision) {
    return {
      commands: [...this.recent]
        .filter(([, { revision }]) => revision <= upTo)
        .map(([commandId, { revision }]) => [commandId, revision] as const),
      states: this.states.filter(({ revision }) => revision <= upTo),
    };
  }

  /** Records that a snapshot is stored. What the snapshot covers is removed from memory. */
  cover(coverage: Coverage): void {
    this.covered = coverage;
    for (const [commandId, { revision }] of this.recent) {
      if (revision <= coverage.revision) this.recent.delete(commandId);
    }
    this.states = this.states.filter(({ revision }) => revision > coverage.revision);
  }

  /** Returns the latest state in memory that has no event after this revision. */
  recentState(upTo: Revision): HashedState<State> | undefined {
    return this.states.findLast(({ revision }) => revision <= upTo);
  }

  private get lastKept(): Revision {
    return this.states.at(-1)?.revision ?? BigInt(this.covered.states.at(-1)?.[0] ?? -1);
  }
}
