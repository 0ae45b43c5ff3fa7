/** A moment in UTC in the format of `Date.toISOString()`. In this format, comparing two texts compares the moments. */
export type Instant = string;

/**
 * Whether the text has the length of an `Instant`. `Date.toISOString()` writes years before 0 and after 9999 with six
 * digits and a sign, and such texts do not compare as moments do.
 */
export const isComparable = (text: string): boolean => text.length === '2027-01-31T23:59:59.999Z'.length;

let parsed = { at: '', milliseconds: NaN };

/**
 * Returns the moment in milliseconds since 1970. Many questions in a row concern the present moment, so the moment that
 * was asked for last is parsed only once.
 */
export function millisecondsOf(at: Instant): number {
  if (at !== parsed.at) parsed = { at, milliseconds: Date.parse(at) };
  return parsed.milliseconds;
}

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
