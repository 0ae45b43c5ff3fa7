import { InvalidArgumentError } from 'commander';
import { type Instant, isComparable } from '#domain';

/** Parses a moment in ISO 8601, from the year 0 to 9999. */
export function instantIn(value: string): Instant {
  const date = new Date(value);
  if (Number.isNaN(date.getTime()) || !isComparable(date.toISOString()))
    throw new InvalidArgumentError('An ISO 8601 time is needed.');
  return date.toISOString();
}
