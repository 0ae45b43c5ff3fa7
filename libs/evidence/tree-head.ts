import type { Tree } from './merkle-proof.js';
import { isKeyName, parseNote, type SignedNote } from './signed-note.js';
import { base64Bytes, numberIn, textOf } from './text-forms.js';

/** A tree head whose signatures have not been verified. `bytes`: the whole signed note. */
export interface SignedTreeHead extends Tree {
  readonly origin: string;
  readonly note: SignedNote;
  readonly bytes: Uint8Array;
}

/** Reads a tree head (C2SP tlog-checkpoint without extension lines). Returns `undefined` for anything else. */
export function parseTreeHead(bytes: Uint8Array): SignedTreeHead | undefined {
  const text = textOf(bytes);
  const note = text === undefined ? undefined : parseNote(text);
  const [origin = '', sizeLine = '', rootLine = '', end, ...more] = note?.text.split('\n') ?? [];
  const size = numberIn(sizeLine);
  const root = base64Bytes(rootLine);
  if (!note || end !== '' || more.length > 0 || !isKeyName(origin)) return undefined;
  return size === undefined || root?.length !== 32 ? undefined : { origin, size, root, note, bytes };
}
