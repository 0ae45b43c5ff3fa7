/** The wall clock, injected so that a test sets it. */
export type Clock = () => Date;

/** Injection token of the `Clock`. */
export const CLOCK = Symbol('Clock');

export const systemClock: Clock = () => new Date();
