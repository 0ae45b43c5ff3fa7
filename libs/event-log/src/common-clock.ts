import { MAX_CLOCK_SKEW_SECONDS } from '#domain';
import { ClockApart } from './errors.js';
import type { EventLog } from './port.js';

/** Throws `ClockApart` where tokens would get, and be judged by, another time than on other nodes. */
export function requireCommonClock({ clockSkewMs }: Pick<EventLog, 'clockSkewMs'>): void {
  if (clockSkewMs > MAX_CLOCK_SKEW_SECONDS * 1000) throw new ClockApart(clockSkewMs);
}
