import { type Decider, DomainError, type DomainErrorCode, type DomainEvent } from '#domain';

/** The state after `events`, from the beginning. */
export const fold = <State, Event extends DomainEvent>(
  { initial, evolve }: Pick<Decider<State, never, Event>, 'initial' | 'evolve'>,
  events: readonly Event[],
): State => events.reduce(evolve, initial);

/** `given(...events).when(command).then(...events)`: a decider's rules, read as a specification. */
export const specification =
  <State, Command, Event extends DomainEvent>(decider: Decider<State, Command, Event>) =>
  (...past: Event[]) => ({
    when: (command: Command) => {
      const decide = () => decider.decide(fold(decider, past), command);
      return {
        /** Decides exactly these events, and they fold. */
        then: (...expected: [Event, ...Event[]]) => {
          expect(decide()).toEqual(expected);
          fold(decider, [...past, ...expected]);
        },
        /** The wish is true already. */
        thenNothing: () => {
          expect(decide()).toEqual([]);
        },
        /** Refuses with this code, naming the field at fault where there is one. */
        thenRefused: (code: DomainErrorCode, field?: string) => {
          const refusal = refusalOf(decide);
          expect({ code: refusal.code, field: refusal.field }).toEqual({ code, field });
        },
      };
    },
  });

const refusalOf = (decide: () => readonly DomainEvent[]): DomainError => {
  let decided: readonly DomainEvent[];
  try {
    decided = decide();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error(`Expected a refusal, but it decided ${JSON.stringify(decided)}`);
};
