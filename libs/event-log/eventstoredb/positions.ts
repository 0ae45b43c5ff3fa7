import type { Position as LogPosition } from '@eventstore/db-client';
import type { Position } from '#events';

/** Digits of the server's largest position, 2^64 - 1: positions are ordered as strings. */
const DIGITS = 20;
/** The largest that the server takes. */
const PAST_ALL = 2n ** 63n - 1n;

/** Commit and prepare position of an event are the same (its log has no transactions any more). */
export const toPosition = ({ commit }: LogPosition): Position => commit.toString().padStart(DIGITS, '0');

/** Throws `TypeError` for what is no position of this adapter. */
export function fromPosition(position: Position): LogPosition {
  if (!/^\d{20}$/.test(position)) throw new TypeError(`Not a position of this log: ${position}`);
  const commit = BigInt(position);
  const within = commit > PAST_ALL ? PAST_ALL : commit;
  return { commit: within, prepare: within };
}
