import { areEqual } from './merkle-proof.js';
import { base64Bytes, numberIn, textOf } from './text-forms.js';

const MAX_HASHES = 64;

/** A proof as its file has it. `head`: the bytes of the tree head that the file ends with. */
export interface ProofFile {
  /** The leaf index of an inclusion proof, the old size of a consistency proof. */
  readonly number: number;
  readonly hashes: readonly Uint8Array[];
  readonly head: Uint8Array;
}

/** Reads a proof of inclusion (C2SP tlog-proof without extra data). Returns `undefined` for anything else. */
export const parseInclusion = (bytes: Uint8Array): ProofFile | undefined =>
  parseProof(bytes, ['c2sp.org/tlog-proof@v1'], 'index ');

/** Reads a proof of consistency (the body of a C2SP tlog-witness call). Returns `undefined` for anything else. */
export const parseConsistency = (bytes: Uint8Array): ProofFile | undefined => parseProof(bytes, [], 'old ');

function parseProof(bytes: Uint8Array, firstLines: readonly string[], label: string): ProofFile | undefined {
  const text = textOf(bytes);
  const end = text?.indexOf('\n\n') ?? -1;
  if (text === undefined || end < 0) return undefined;
  const lines = text.slice(0, end).split('\n');
  for (const line of firstLines) if (lines.shift() !== line) return undefined;
  const numberLine = lines.shift();
  const number = numberLine?.startsWith(label) ? numberIn(numberLine.slice(label.length)) : undefined;
  const hashes = lines.map(base64Bytes).filter((hash) => hash?.length === 32);
  if (number === undefined || hashes.length !== lines.length || hashes.length > MAX_HASHES) return undefined;
  return { number, hashes: hashes as Uint8Array[], head: Buffer.from(text.slice(end + 2)) };
}

/** Whether the proof ends with this head, byte for byte. */
export const isOfHead = ({ head }: ProofFile, { bytes }: { readonly bytes: Uint8Array }): boolean =>
  areEqual(head, bytes);
