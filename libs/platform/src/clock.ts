import type { Instant } from '#domain';

/** The wall clock, injected so that a test sets it. */
export type Clock = () => Date;

/** Injection token of the `Clock`. */
export const CLOCK = Symbol('Clock');

export const systemClock: Clock = () => new Date();

/** Moments of the clock as text. Within one millisecond many ask: it is written for the first of them. */
export function instantsOf(clock: Clock): () => Instant {
  let written = { at: NaN, text: '' };
  return () => {
    const now = clock();
    const at = now.getTime();
    if (at !== written.at) written = { at, text: now.toISOString() };
    return written.text;
  };
}
