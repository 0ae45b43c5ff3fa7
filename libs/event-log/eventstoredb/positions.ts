import type { Position as LogPosition } from '@eventstore/db-client';
import type { Position } from '#events';

/**
 * Number of digits of the server's largest position, 2^64 - 1. Positions are compared as strings, so all positions are
 * padded to this length.
 */
const DIGITS = 20;
/** The largest position at which the server lets a read begin. */
const LARGEST = 2n ** 63n - 1n;

/**
 * While the server skips records that a filter does not match, it reports its position. EventStoreDB multiplies this
 * option by 32 itself, so the server reports about every 1,000 records.
 */
export const CHECKPOINT_INTERVAL = 32;
/** About how many records the server has searched between two such reports. */
export const RECORDS_PER_CHECKPOINT = 32 * CHECKPOINT_INTERVAL;

/**
 * Makes a `Position` from the server's commit position. An event's prepare position is always equal to its commit
 * position, since the server no longer has transactions.
 */
export const toPosition = ({ commit }: LogPosition): Position => commit.toString().padStart(DIGITS, '0');

/** Parses a position. Throws `TypeError` if `toPosition` can't have made the position. */
export function fromPosition(position: Position): LogPosition {
  if (!/^\d{20}$/.test(position)) throw new TypeError(`Not a position of this log: ${position}`);
  const commit = BigInt(position);
  const accepted = commit > LARGEST ? LARGEST : commit;
  return { commit: accepted, prepare: accepted };
}

/** Returns the later one of the last taken event's position and the position that the server has reported. */
export const laterOf = (
  taken: LogPosition | undefined,
  checkpoint: LogPosition | undefined,
): LogPosition | undefined => (checkpoint && checkpoint.commit > (taken?.commit ?? -1n) ? checkpoint : taken);
