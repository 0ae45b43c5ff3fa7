import { MAX_CLOCK_SKEW_SECONDS } from '#domain';
import { ClockApart } from './errors.js';

/** A moment in the life of this process, by two clocks, in ms. */
export interface Moment {
  /** The time of the monotonic clock (`performance.now()`). This clock tells which of two moments came first. */
  readonly monotonic: number;
  /** The time of the wall clock (`Date.now()`). */
  readonly wall: number;
}

/** The moment before all others. */
export const LONG_AGO: Moment = { monotonic: -Infinity, wall: -Infinity };

export const momentNow = (): Moment => ({ monotonic: performance.now(), wall: Date.now() });

/**
 * Returns how old something is that was known to be true at `moment`, in ms. Returns the larger of the differences by
 * the two clocks: the monotonic clock stands still while a virtual machine is suspended, and the wall clock may be set
 * back.
 */
export const msSince = ({ monotonic, wall }: Moment): number =>
  Math.max(performance.now() - monotonic, Date.now() - wall);

const MAX_CLOCK_SKEW_MS = MAX_CLOCK_SKEW_SECONDS * 1000;

/**
 * Throws `ClockApart` if this process's clock differs too much from the log's clock. With such a clock, a process can't
 * date events and tokens correctly, and can't judge whether a token has expired.
 */
export function requireCommonClock({ clockSkewMs }: { readonly clockSkewMs: number }): void {
  if (clockSkewMs > MAX_CLOCK_SKEW_MS) throw new ClockApart(clockSkewMs);
}

/** Whether this process's clock is too far behind the latest event of the log. */
export const isClockBehind = ({ clockBehindMs }: { readonly clockBehindMs: number }): boolean =>
  clockBehindMs > MAX_CLOCK_SKEW_MS;
