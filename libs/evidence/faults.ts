import { visible } from './text-forms.js';

/** Why a bundle does not hold: the faults of docs/evidence.md, in the order in which they are looked for. */
export const FAULTS = [
  'FILE_MISSING',
  'FILE_UNEXPECTED',
  'MANIFEST_MISMATCH',
  'HEAD_MALFORMED',
  'HEAD_OF_ANOTHER_LOG',
  'HEAD_NOT_SIGNED',
  'HEAD_SIGNATURE_WRONG',
  'ROLLED_BACK',
  'SECOND_ROOT',
  'CONSISTENCY_MISSING',
  'CONSISTENCY_MALFORMED',
  'CONSISTENCY_OF_ANOTHER_SIZE',
  'CONSISTENCY_OF_ANOTHER_HEAD',
  'CONSISTENCY_WRONG',
  'LEAF_MISMATCH',
  'EVENT_MALFORMED',
  'EVENT_OF_ANOTHER_STREAM',
  'REVISION_GAP',
  'CHAIN_BROKEN',
  'EVENT_AFTER_END',
  'PROOF_MALFORMED',
  'PROOF_OF_ANOTHER_HEAD',
  'INDEX_OUT_OF_ORDER',
  'INCLUSION_WRONG',
  'STATEMENT_MALFORMED',
  'STATEMENT_NOT_SIGNED',
  'STATEMENT_SIGNATURE_WRONG',
  'STATEMENT_OF_ANOTHER_LOG',
  'STATEMENT_OF_ANOTHER_STREAM',
  'STATEMENT_OF_ANOTHER_HEAD',
  'EVENTS_LEFT_OUT',
  'STATEMENT_FALSE',
  'COSIGNATURE_WRONG',
] as const;
export type FaultName = (typeof FAULTS)[number];

/** Why evidence that holds is not enough for the person who asks. */
export const SHORTFALLS = [
  'LOG_NOT_IN_POLICY',
  'QUORUM_NOT_MET',
  'HEAD_TIME_UNKNOWN',
  'HEAD_FROM_FUTURE',
  'HEAD_TOO_OLD',
] as const;
export type ShortfallName = (typeof SHORTFALLS)[number];

/** The evidence does not hold. `file`: where the fault was found. */
export class EvidenceFault extends Error {
  override readonly name = 'EvidenceFault';
  readonly file: string;

  constructor(
    readonly fault: FaultName,
    file: string,
    reason: string,
  ) {
    super(visible(reason));
    this.file = visible(file);
  }
}

/** The bundle can't be read: nothing is known about what it was meant to prove. */
export class UnreadableBundle extends Error {
  override readonly name = 'UnreadableBundle';
}

/** An argument of the verification is wrong: a key, a head to compare with, or a policy. */
export class WrongArgument extends Error {
  override readonly name = 'WrongArgument';
}
