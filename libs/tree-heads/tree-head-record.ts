import { ADOPTIONS_STREAM, type EventLog, TREE_HEADS_STREAM } from '#event-log';
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
  const found = headIn(recorded);
  return { origin: found.origin, head: isSigned(found) ? found : undefined, event: recorded };
}

/**
 * Returns the latest head of this size; `undefined` if there is none. Only heads of the last head's origin are found.
 * Throws `LogUnavailable`, `HistoryMissing`, `UnknownEvent`.
 */
export async function findTreeHead(log: Pick<EventLog, 'readStream'>, size: number): Promise<SignedHead | undefined> {
  const { head: last, event } = await readLastTreeHead(log);
  if (!last || !event || size >= last.size) return last?.size === size ? last : undefined;
  // Heads of one origin never become smaller.
  let [from, to] = [0n, event.revision];
  let found: SignedHead | undefined;
  while (from < to) {
    const middle = (from + to) / 2n;
    const [recorded] = await log.readStream(TREE_HEADS_STREAM, { from: middle, limit: 1 });
    const head = recorded && headIn(recorded);
    const isOfLastOrigin = head !== undefined && isSigned(head) && head.origin === last.origin;
    if (isOfLastOrigin && head.size > size) {
      to = middle;
    } else {
      from = middle + 1n;
      if (isOfLastOrigin && head.size === size) found = head;
    }
  }
  return found;
}

type OriginAlone = Pick<SignedHead, 'origin'>;

const isSigned = (found: SignedHead | OriginAlone): found is SignedHead => 'note' in found;

/** Returns the head, or the origin of the heads to come. */
function headIn(recorded: RecordedEvent): SignedHead | OriginAlone {
  const event = upcast(recorded);
  if (event.type === 'TreeOriginStarted') return { origin: event.data.origin };
  if (event.type !== 'TreeHeadSigned') throw new Error(`${event.type} is no event of ${TREE_HEADS_STREAM}`);
  return { origin: originOfNote(event.data.note), ...event.data, signedAt: event.metadata.occurredAt };
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
