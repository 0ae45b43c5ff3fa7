import type { EventLog } from '#event-log';
import { ADOPTIONS_STREAM, TREE_HEADS_STREAM } from '#event-log';
import { type RecordedEvent, upcast } from '#events';

/** A signed head, as it is in the log. */
export interface SignedHead {
  readonly origin: string;
  /** Number of leaves. */
  readonly size: number;
  /** The root hash in base64. */
  readonly root: string;
  /** The head as it is published: a C2SP checkpoint with its signature lines. */
  readonly note: string;
  /** When it was appended. */
  readonly signedAt: string;
}

/** What the last event of stream `treeHeads` says. */
export interface LastTreeHead {
  /** The origin of the next head; `undefined` if the log never had a head. */
  readonly origin: string | undefined;
  /** The last head of this origin. */
  readonly head: SignedHead | undefined;
  readonly event: RecordedEvent | undefined;
}

/** Returns the last head of the log. Throws `LogUnavailable`, `HistoryMissing`, `UnknownEvent`. */
export async function readLastTreeHead(
  log: Pick<EventLog, 'readStream'>,
  consistency: 'strong' | 'any' = 'any',
): Promise<LastTreeHead> {
  const read = { direction: 'backwards', limit: 1, consistency, isProbablyMissing: true } as const;
  const [recorded] = await log.readStream(TREE_HEADS_STREAM, read);
  if (!recorded) return { origin: undefined, head: undefined, event: undefined };
  const event = upcast(recorded);
  if (event.type === 'TreeOriginStarted') return { origin: event.data.origin, head: undefined, event: recorded };
  if (event.type !== 'TreeHeadSigned') throw new Error(`${event.type} is no event of ${TREE_HEADS_STREAM}`);
  const origin = originOfNote(event.data.note);
  return { origin, head: { origin, ...event.data, signedAt: event.metadata.occurredAt }, event: recorded };
}

/** The first line of a note that is a tree head. */
export const originOfNote = (note: string): string => note.slice(0, note.indexOf('\n'));

/**
 * Whether an operator has adopted the log after its last head: it was restored to an older state, and heads that were
 * signed after the backup are lost. Throws `LogUnavailable`, `HistoryMissing`.
 */
export async function isAdoptedSince(log: Pick<EventLog, 'readStream'>, { event }: LastTreeHead): Promise<boolean> {
  const read = { direction: 'backwards', limit: 1, consistency: 'strong', isProbablyMissing: true } as const;
  const [adoption] = await log.readStream(ADOPTIONS_STREAM, read);
  return adoption !== undefined && (!event || event.position < adoption.position);
}
