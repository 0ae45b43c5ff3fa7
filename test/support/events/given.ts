import { type Aggregate, DomainError, type DomainEvent } from '#domain';

/** Returns the state after `events`, which must begin with the stream's first event. */
export const fold = <State, Event extends DomainEvent>(
  { initial, evolve }: Pick<Aggregate<never, State, never, Event>, 'initial' | 'evolve'>,
  events: readonly Event[],
): State => events.reduce(evolve, initial);

/** Lets a test read like a specification of an aggregate: `given(...events).when(command).then(...events)`. */
export const specification =
  <State, Command, Event extends DomainEvent>(aggregate: Aggregate<never, State, Command, Event>) =>
  (...past: Event[]) => ({
    when: (command: Command) => {
      const decide = () => aggregate.decide(fold(aggregate, past), command);
      return {
        /** Expects that the command decides exactly these events, and that the aggregate can fold these events. */
        then: (...expected: [Event, ...Event[]]) => {
          expect(decide()).toEqual(expected);
          fold(aggregate, [...past, ...expected]);
        },
        /** Expects that the command decides no event, because nothing has to change. */
        thenNothing: () => {
          expect(decide()).toEqual([]);
        },
        /**
         * Expects that the command is refused with this code. `field` is the invalid field of the command, if the
         * refusal names a field.
         */
        thenRefused: (code: string, field?: string) => {
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
