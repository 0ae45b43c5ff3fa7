/**
 * An aggregate is a unit that changes as a whole, such as a client. Each id has one stream of events. Pure functions
 * compute the state from the stream's events, and new events from the state and a command. Time, ids and hashes are
 * part of the command.
 */
export interface Aggregate<Id, State, Command, Event extends DomainEvent> {
  /**
   * Returns the name of the stream that holds this id's events. The name must never change, since the log stores the
   * name for ever.
   */
  readonly stream: (id: Id) => string;
  /** The state before the first event. */
  readonly initial: State;
  readonly evolve: (state: State, event: Event) => State;
  /**
   * The version of `initial`, `evolve` and `State` together. MUST be increased with every change after which the same
   * events lead to another state, or to the same state in another form. Stored states of other versions are not used.
   * The state consists of JSON values, maps, sets and bigints, and has no property named `$`.
   */
  readonly stateVersion: number;
  /**
   * Returns the events that carry out the command, or `[]` if nothing has to change. Throws `DomainError` if the
   * command is refused.
   */
  readonly decide: (state: State, command: Command) => Event[];
}

export interface DomainEvent {
  readonly type: string;
  readonly data: object;
}

/** The data of the events of type `Type`. */
export type DataOf<Event extends DomainEvent, Type extends Event['type']> = Extract<Event, { type: Type }>['data'];
