import { InvalidArgumentError } from 'commander';
import type { Instant } from '#domain';

/** Parses a moment in ISO 8601. */
export function instantIn(value: string): Instant {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError('An ISO 8601 time is needed.');
  return date.toISOString();
}
