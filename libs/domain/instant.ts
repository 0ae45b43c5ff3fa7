/** A moment in UTC in the format of `Date.toISOString()`. In this format, comparing two texts compares the moments. */
export type Instant = string;

/** Returns `at` plus `seconds` as an `Instant`. */
export const secondsAfter = (at: Instant, seconds: number): Instant =>
  new Date(Date.parse(at) + seconds * 1000).toISOString();

/** Maximum difference between the clocks of two nodes, in seconds. */
export const MAX_CLOCK_SKEW_SECONDS = 5;

/**
 * Returns the time that the fastest node's clock may show at `at`. What is dated later was dated by a clock that was
 * wrong.
 */
export const fastestClock = (at: Instant): Instant => secondsAfter(at, MAX_CLOCK_SKEW_SECONDS);
