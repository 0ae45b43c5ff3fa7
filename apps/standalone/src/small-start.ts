import { setFlagsFromString } from 'node:v8';

/**
 * While the process starts, V8's space for new objects does not grow. Nearly everything that a start makes is kept, so
 * a larger space saves no work. But V8 would double it again and again, up to 32 MB, which an idle process would keep.
 */
setFlagsFromString('--semi-space-growth-factor=1');

/** Lets the space for new objects grow with the work from now on, as is V8's default. */
export const growAtWork = (): void => {
  setFlagsFromString('--semi-space-growth-factor=2');
};
