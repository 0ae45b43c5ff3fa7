import type { Instant } from '#domain';

/** Returns the current time. The clock is injected so that a test can set the time. */
export type Clock = () => Date;

export const systemClock: Clock = () => new Date();

/**
 * Returns a function that reads the clock and returns the time as ISO text. Many calls fall into one millisecond, so
 * the text of the last millisecond is kept.
 */
export function instantsOf(clock: Clock): () => Instant {
  let written = { at: NaN, text: '' };
  return () => {
    const now = clock();
    const at = now.getTime();
    if (at !== written.at) written = { at, text: now.toISOString() };
    return written.text;
  };
}
