import fc from 'fast-check';
import { type Aggregate, DomainError, type DomainEvent, type Instant, secondsAfter } from '#domain';
import { fold } from './given.js';

/** A command of a history, with the state before the command, the decision, and the state after the command. */
export interface Step<State, Command, Event> {
  readonly command: Command;
  readonly before: State;
  /** The decided events. The list is empty if nothing had to change, or if the command was refused. */
  readonly events: readonly Event[];
  readonly refusal?: DomainError;
  readonly after: State;
}

/**
 * Carries out commands one after another on one stream, as a command handler does. `past` are the events that the
 * stream holds at first. Returns a step for each command.
 */
export const play = <State, Command, Event extends DomainEvent>(
  aggregate: Aggregate<never, State, Command, Event>,
  past: readonly Event[],
  commands: readonly Command[],
): Step<State, Command, Event>[] => {
  const steps: Step<State, Command, Event>[] = [];
  let state = fold(aggregate, past);
  for (const command of commands) {
    const step = take(aggregate, state, command);
    steps.push(step);
    state = step.after;
  }
  return steps;
};

const take = <State, Command, Event extends DomainEvent>(
  { decide, evolve }: Aggregate<never, State, Command, Event>,
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

/** Makes a command for the time `at`. `index` is the command's place in the history. */
export type CommandAt<Command> = (at: Instant, index: number) => Command;

/**
 * Number of seconds between two commands. Most pauses are short (bursts), some last minutes or days, and a few last a
 * year.
 */
const pause = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 4, arbitrary: fc.integer({ min: 4, max: 900 }) },
  { weight: 2, arbitrary: fc.integer({ min: 901, max: 10 * 86_400 }) },
  { weight: 1, arbitrary: fc.constant(31_536_000) },
);

/** Number of seconds between two commands, by clocks that may each be wrong: the number may be negative. */
export const anyClockChange = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 60 }) },
  { weight: 3, arbitrary: fc.integer({ min: -7200, max: 7200 }) },
  { weight: 1, arbitrary: fc.integer({ min: -31_536_000, max: 31_536_000 }) },
);

/**
 * Makes random histories of commands. `between`: the number of seconds between two commands. By default, the times of the
 * commands never decrease.
 */
export const history = <Command>(
  start: Instant,
  command: fc.Arbitrary<CommandAt<Command>>,
  length: { minLength?: number; maxLength: number },
  between: fc.Arbitrary<number> = pause,
): fc.Arbitrary<Command[]> =>
  fc.array(fc.tuple(between, command), { ...length, size: 'max' }).map((steps) => {
    let at = start;
    return steps.map(([seconds, commandAt], index) => {
      at = secondsAfter(at, seconds);
      return commandAt(at, index);
    });
  });
