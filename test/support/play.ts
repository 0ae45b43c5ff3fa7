import { type Decider, DomainError, type DomainEvent, type Instant, secondsAfter } from '#domain';
import fc from 'fast-check';
import { fold } from './given.js';

/** One command of a history: what it met, what was decided, and what became of it. */
export interface Step<State, Command, Event> {
  readonly command: Command;
  readonly before: State;
  /** `[]` when it was refused, too. */
  readonly events: readonly Event[];
  readonly refusal?: DomainError;
  readonly after: State;
}

/** Carries the commands out one after another on one stream that holds `past`, as a command handler does. */
export const play = <State, Command, Event extends DomainEvent>(
  decider: Decider<State, Command, Event>,
  past: readonly Event[],
  commands: readonly Command[],
): Step<State, Command, Event>[] => {
  const steps: Step<State, Command, Event>[] = [];
  let state = fold(decider, past);
  for (const command of commands) {
    const step = take(decider, state, command);
    steps.push(step);
    state = step.after;
  }
  return steps;
};

const take = <State, Command, Event extends DomainEvent>(
  { decide, evolve }: Decider<State, Command, Event>,
  before: State,
  command: Command,
): Step<State, Command, Event> => {
  try {
    const events = decide(before, command);
    return { command, before, events, after: events.reduce(evolve, before) };
  } catch (refusal) {
    if (refusal instanceof DomainError) return { command, before, events: [], refusal, after: before };
    throw refusal;
  }
};

/** A command that waits for its moment; `index` tells it from all the others of its history. */
export type Wish<Command> = (at: Instant, index: number) => Command;

/** Seconds between two commands: bursts, minutes around the limits, days, and now and then more than a year. */
const pause = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 4, arbitrary: fc.integer({ min: 4, max: 900 }) },
  { weight: 2, arbitrary: fc.integer({ min: 901, max: 10 * 86_400 }) },
  { weight: 1, arbitrary: fc.constant(31_536_000) },
);

/** Wishes become commands in an order, at moments that never go back. */
export const history = <Command>(
  start: Instant,
  wish: fc.Arbitrary<Wish<Command>>,
  length: { minLength?: number; maxLength: number },
  between: fc.Arbitrary<number> = pause,
): fc.Arbitrary<Command[]> =>
  fc.array(fc.tuple(between, wish), { ...length, size: 'max' }).map((steps) => {
    let at = start;
    return steps.map(([seconds, commandAt], index) => {
      at = secondsAfter(at, seconds);
      return commandAt(at, index);
    });
  });
