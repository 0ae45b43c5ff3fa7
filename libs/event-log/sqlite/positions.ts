import type { Position } from '#events';

/** SQLite's largest integer: past every revision and position. */
export const PAST_ALL = 2n ** 63n - 1n;

/** Digits of `PAST_ALL`, and one to spare: positions are ordered as strings. */
const DIGITS = 20;

export const toPosition = (position: bigint): Position => position.toString().padStart(DIGITS, '0');

/** Throws `TypeError` for what is no position of this adapter. */
export function fromPosition(position: Position): bigint {
  if (!/^\d{20}$/.test(position)) throw new TypeError(`Not a position of this log: ${position}`);
  return within(BigInt(position));
}

/** What SQLite can compare with. */
export const within = (value: bigint): bigint => (value > PAST_ALL ? PAST_ALL : value);
