import { MAX_CLOCK_SKEW_SECONDS } from '#domain';
import { ClockApart } from './errors.js';
import type { EventLog } from './port.js';

const MAX_CLOCK_SKEW_MS = MAX_CLOCK_SKEW_SECONDS * 1000;

/**
 * Throws `ClockApart` if this process's clock differs too much from the log's clock. With such a clock, a process can't
 * date events and tokens correctly, and can't judge whether a token has expired.
 */
export function requireCommonClock({ clockSkewMs }: Pick<EventLog, 'clockSkewMs'>): void {
  if (clockSkewMs > MAX_CLOCK_SKEW_MS) throw new ClockApart(clockSkewMs);
}

/** Whether this process's clock is too far behind the latest event of the log. */
export const isClockBehind = ({ clockBehindMs }: Pick<EventLog, 'clockBehindMs'>): boolean =>
  clockBehindMs > MAX_CLOCK_SKEW_MS;
