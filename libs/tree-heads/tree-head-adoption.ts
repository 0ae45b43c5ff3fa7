import { randomBytes } from 'node:crypto';
import type { SigningKeysState } from '#domain';
import { type BookOfRecord, eventsToNow, isLeaf, readLogId } from '#event-log';
import type { CommandContext } from '#events';
import { isOfKey, isSignatureOf, leafHash, noteOf, parseNote, parseTreeHeadText, TreeEdge } from '#transparency';
import { TreeHeadsRefused } from './errors.js';
import { noteKeyOf } from './log-key-ring.js';
import { firstOrigin } from './origin.js';
import { readLastTreeHead } from './tree-head-record.js';
import { appendTreeHeadsEvent } from './tree-head-signer.js';

export interface TreeAdoptionOptions {
  readonly context: CommandContext;
  readonly now: () => Date;
}

type Book = Pick<BookOfRecord, 'log' | 'eventVersions' | 'signingKeys'>;

/**
 * Lets heads be signed again after a restore: proves from the log itself that it extends the head in the note `given`,
 * the last one that was signed before the restore, and puts the head back into the log. Returns the size of the head from
 * which the log goes on: the given one, or a larger one that the log has kept. Throws `TreeHeadsRefused` if the note is no
 * head of this log, is not rightly signed by its keys, or if the log does not extend it. Throws `LogUnavailable`,
 * `RevisionConflict`, `NotDuringUpgrade`.
 */
export async function goOnFromHead(book: Book, given: string, { context, now }: TreeAdoptionOptions): Promise<number> {
  const last = await readLastTreeHead(book.log, 'strong');
  const { state } = await book.signingKeys.read();
  const { text, note } = ownNote(state, given);
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
  const proven = { size: head.size, root: Buffer.from(head.root).toString('base64'), note };
  const kept = last.head && { size: last.head.size, root: last.head.root, note: last.head.note };
  const data = kept && kept.size > proven.size ? kept : proven;
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
  const origin = `${firstOrigin(publicUrl, logId ?? '')}/${randomBytes(4).toString('hex')}`;
  const make = (startedAt: string) => ({
    event: { type: 'TreeOriginStarted', data: { origin, reason, startedAt } } as const,
    result: origin,
  });
  return appendTreeHeadsEvent(book, last, now().toISOString(), make, context);
}

/**
 * Returns the text of a note, and the note with the lines of the log's own keys alone: the file comes from outside, and
 * whatever else stands in it would be published as part of our head. Throws `TreeHeadsRefused` if a line that names one
 * of these keys is wrong, or if no key of purpose `LOG` has signed that is not compromised.
 */
function ownNote({ logKeys }: SigningKeysState, given: string): { text: string; note: string } {
  const { text = '', signatures = [] } = parseNote(given) ?? {};
  const origin = text.slice(0, text.indexOf('\n'));
  const signed = logKeys.flatMap((key) => {
    const noteKey = noteKeyOf(key, origin);
    return signatures.filter((line) => isOfKey(noteKey, line)).map((line) => ({ key, noteKey, line }));
  });
  if (!signed.every(({ noteKey, line }) => isSignatureOf(noteKey, line, text))) {
    throw new TreeHeadsRefused('A key of this log is named in this head, but has not signed it');
  }
  const good = signed.filter(({ key }) => key.compromisedAt === undefined);
  if (!good.some(({ key }) => key.purpose === 'LOG')) {
    throw new TreeHeadsRefused('This is no head that a key of this log has signed, or the key is compromised');
  }
  const lines = new Set(good.map(({ line }) => line));
  return { text, note: noteOf(text, [...lines]) };
}
