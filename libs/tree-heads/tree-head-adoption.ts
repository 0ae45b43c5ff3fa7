import { createPublicKey, randomBytes, verify } from 'node:crypto';
import type { SigningKeysState } from '#domain';
import { type BookOfRecord, eventsToNow, isLeaf, readLogId } from '#event-log';
import type { CommandContext } from '#events';
import { KEY_TYPE, keyIdOf, leafHash, parseNote, parseTreeHeadText, TreeEdge } from '#transparency';
import { TreeHeadsRefused } from './errors.js';
import { noteKeyOf } from './log-key-ring.js';
import { readLastTreeHead } from './tree-head-record.js';
import { appendTreeHeadsEvent } from './tree-head-signer.js';

export interface TreeAdoptionOptions {
  readonly context: CommandContext;
  readonly now: () => Date;
}

type Book = Pick<BookOfRecord, 'log' | 'eventVersions' | 'signingKeys'>;

/**
 * Lets heads be signed again after a restore: proves from the log itself that it extends the head in `note`, the last
 * one that was signed before the restore, and puts the head back into the log. Returns the size of the head from which
 * the log goes on: the given one, or a larger one that the log has kept. Throws `TreeHeadsRefused` if the note is no head
 * of this log, is not signed by one of its keys, or if the log does not extend it. Throws `LogUnavailable`,
 * `RevisionConflict`, `NotDuringUpgrade`.
 */
export async function goOnFromHead(book: Book, note: string, { context, now }: TreeAdoptionOptions): Promise<number> {
  const last = await readLastTreeHead(book.log, 'strong');
  const { state } = await book.signingKeys.read();
  const text = signedText(state, note);
  const head = parseTreeHeadText(text);
  if (!head) throw new TreeHeadsRefused('This is no tree head');
  if (last.origin !== undefined && last.origin !== head.origin) {
    throw new TreeHeadsRefused(`This is a head of ${head.origin}, and the log’s are of ${last.origin}`);
  }
  const edge = TreeEdge.empty();
  for await (const event of eventsToNow(book.log)) {
    if (edge.size === head.size) break;
    if (isLeaf(event)) edge.append(leafHash(Buffer.from(event.metadata.hash, 'hex')));
  }
  if (edge.size < head.size) {
    throw new TreeHeadsRefused(`The log has ${edge.size} leaves, and this head has ${head.size}`);
  }
  if (Buffer.compare(edge.root(), head.root) !== 0) {
    throw new TreeHeadsRefused(`The first ${head.size} leaves of the log are others than those of this head`);
  }
  const given = { size: head.size, root: Buffer.from(head.root).toString('base64'), note };
  const kept = last.head && { size: last.head.size, root: last.head.root, note: last.head.note };
  const data = kept && kept.size > given.size ? kept : given;
  const event = { type: 'TreeHeadSigned', data } as const;
  return appendTreeHeadsEvent(book, last, now().toISOString(), () => ({ event, result: data.size }), context);
}

/**
 * Begins a new series of heads, for a log that does not extend its former heads. Returns its origin. Throws
 * `LogUnavailable`, `RevisionConflict`, `NotDuringUpgrade`, `InvalidEvent`.
 */
export async function startTreeOrigin(
  book: Book,
  { publicUrl, reason, context, now }: TreeAdoptionOptions & { readonly publicUrl: string; readonly reason: string },
): Promise<string> {
  const last = await readLastTreeHead(book.log, 'strong');
  const logId = await readLogId(book.log);
  // Random: an origin that was begun after the backup is lost, and must not be begun again.
  const origin = `${new URL(publicUrl).host}/${logId ?? ''}/${randomBytes(4).toString('hex')}`;
  const make = (startedAt: string) => ({
    event: { type: 'TreeOriginStarted', data: { origin, reason, startedAt } } as const,
    result: origin,
  });
  return appendTreeHeadsEvent(book, last, now().toISOString(), make, context);
}

/** Returns the note's text. Throws `TreeHeadsRefused` unless a key of the log has signed it. */
function signedText({ logKeys }: SigningKeysState, note: string): string {
  const { text = '', signatures = [] } = parseNote(note) ?? {};
  const origin = text.slice(0, text.indexOf('\n'));
  for (const key of logKeys) {
    if (key.purpose !== 'LOG') continue;
    const noteKey = noteKeyOf(key, origin);
    const id = Buffer.from(keyIdOf(noteKey));
    const line = signatures.find(({ name, keyId }) => name === origin && id.equals(keyId));
    if (line && noteKey.type === KEY_TYPE.ED25519 && isSignedBy(noteKey.publicKey, text, line.signature)) return text;
  }
  throw new TreeHeadsRefused('This is no head that a key of this log has signed');
}

const isSignedBy = (publicKey: Uint8Array, text: string, signature: Uint8Array): boolean => {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') };
  return verify(null, Buffer.from(text), createPublicKey({ key: jwk, format: 'jwk' }), signature);
};
