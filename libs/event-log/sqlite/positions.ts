import type { Position } from '#events';

/** SQLite's largest integer. All revisions and positions are smaller. */
export const LARGEST = 2n ** 63n - 1n;

/**
 * Number of digits of a position. Positions are compared as strings, so all positions are padded to this length. The
 * length is one digit more than `LARGEST` has.
 */
const DIGITS = 20;

export const toPosition = (position: bigint): Position => position.toString().padStart(DIGITS, '0');

/** Parses a position. Throws `TypeError` if `toPosition` can't have made the position. */
export function fromPosition(position: Position): bigint {
  if (!/^\d{20}$/.test(position)) throw new TypeError(`Not a position of this log: ${position}`);
  return toSqliteInteger(BigInt(position));
}

/**
 * Returns the value. A value above SQLite's largest integer becomes this integer, because SQLite can't compare with a
 * larger one.
 */
export const toSqliteInteger = (value: bigint): bigint => (value > LARGEST ? LARGEST : value);
