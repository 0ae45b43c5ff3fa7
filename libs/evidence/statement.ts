import { parseNote, type SignedNote } from './signed-note.js';
import { numberIn, textOf } from './text-forms.js';

/** The log's word about the end of a stream. Its signatures have not been verified. */
export interface Statement {
  readonly origin: string;
  readonly stream: string;
  readonly lastRevision: number;
  /** Hex. */
  readonly lastHash: string;
  readonly treeSize: number;
  readonly isEnded: boolean;
  readonly note: SignedNote;
}

/** Reads a statement. Returns `undefined` for anything else. */
export function parseStatement(bytes: Uint8Array): Statement | undefined {
  const text = textOf(bytes);
  const note = text === undefined ? undefined : parseNote(text);
  const [first, origin = '', stream = '', revision = '', lastHash = '', size = '', end, last, ...more] =
    note?.text.split('\n') ?? [];
  const lastRevision = numberIn(revision);
  const treeSize = numberIn(size);
  if (!note || first !== 'consumer-clients/statement@v1' || last !== '' || more.length > 0) return undefined;
  if (origin === '' || stream === '' || lastRevision === undefined || treeSize === undefined) return undefined;
  if (!/^[0-9a-f]{64}$/.test(lastHash) || (end !== 'live' && end !== 'ended')) return undefined;
  return { origin, stream, lastRevision, lastHash, treeSize, isEnded: end === 'ended', note };
}
