import { InvalidArgumentError, Option } from 'commander';
import type { Instant } from '#domain';
import type { Basis } from '#event-log';
import type { Position } from '#events';
import { instantIn } from '../instant.js';

/** What the options of `basisOptions` say. */
export interface BasisOptions {
  readonly at?: Instant;
  readonly revision?: bigint;
  readonly position?: Position;
}

/** The options that name a past: a moment, an event of the client, or a place in the log. */
export const basisOptions = (): Option[] => [
  new Option('--at <time>', 'as of this moment; beside another option, only what depends on the clock').argParser(
    instantIn,
  ),
  new Option('--revision <number>', 'after this event of the client').argParser(revisionIn).conflicts('position'),
  new Option('--position <position>', 'after this place in the log (20 digits)').argParser(positionIn),
];

export const basisOf = ({ at, revision, position }: BasisOptions): Basis | undefined => {
  if (revision !== undefined) return { by: 'revision', revision };
  if (position !== undefined) return { by: 'position', position };
  return at === undefined ? undefined : { by: 'time', at };
};

/** Parses a position: a decimal number of 20 digits. */
export function positionIn(value: string): Position {
  if (!/^\d{20}$/.test(value)) throw new InvalidArgumentError('A position has 20 digits.');
  return value;
}

function revisionIn(value: string): bigint {
  if (!/^\d{1,15}$/.test(value)) throw new InvalidArgumentError('It must be a whole number from 0.');
  return BigInt(value);
}
