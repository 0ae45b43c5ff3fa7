import { BuildsDiffer } from '#read-models';
import { Interrupted } from './interruption.js';

/** A comparison was made, and its documents are not the same. */
export const DOCUMENTS_DIFFER = 2;

export const exitCodeOf = (error: unknown): number => {
  if (error instanceof BuildsDiffer) return DOCUMENTS_DIFFER;
  return error instanceof Interrupted ? 130 : 1;
};
