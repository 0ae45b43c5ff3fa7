/** The three plain values of an aggregate. `decide` is pure: time, ids and hashes arrive in the command. */
export interface Decider<State, Command, Event extends DomainEvent> {
  readonly initial: State;
  readonly evolve: (state: State, event: Event) => State;
  /** `[]` when the wish is already true; throws `DomainError` when it may not be. */
  readonly decide: (state: State, command: Command) => Event[];
}

export interface DomainEvent {
  readonly type: string;
  readonly data: object;
}

/** A moment in UTC as `Date.toISOString()` writes it, so that moments compare as strings. */
export type Instant = string;

/** `at` plus `seconds`, as an `Instant`. */
export const secondsAfter = (at: Instant, seconds: number): Instant =>
  new Date(Date.parse(at) + seconds * 1000).toISOString();
