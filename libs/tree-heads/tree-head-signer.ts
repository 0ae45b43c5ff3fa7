import { randomUUID } from 'node:crypto';
import type { MasterKeys } from '#credentials';
import { type BookOfRecord, internalContext, RevisionConflict, TREE_HEADS_STREAM } from '#event-log';
import { NotDuringUpgrade, seal, type TreeHeadsEvent } from '#events';
import { treeHeadText } from '#transparency';
import { TreeHeadsRefused } from './errors.js';
import { LogKeyRing } from './log-key-ring.js';
import { firstOrigin } from './origin.js';
import { isAdoptedSince, type LastTreeHead, readLastTreeHead, type SignedHead } from './tree-head-record.js';
import { TreeReader } from './tree-reader.js';
import { VerifiedTree } from './verified-tree.js';

/** A head is signed when this many leaves are new, */
const LEAVES_OF_A_HEAD = 1_000;
/** or this long after the first new leaf was seen, in ms. */
const LONGEST_WAIT_MS = 60_000;
/** How often another signer may come first before this one gives up. */
const MAX_ATTEMPTS = 5;

export interface TreeHeadSignerOptions {
  readonly book: BookOfRecord;
  readonly reader: TreeReader;
  readonly masterKeys: MasterKeys;
  /** The origin of the first head is `<host of PUBLIC_URL>/<log id>`. */
  readonly publicUrl: string;
  readonly now: () => Date;
}

/**
 * Signs heads of the tree over the log. Any number of signers may work at the same time:
 *
 * 1. Read the last event of stream `treeHeads` strongly. Refuse if an operator has adopted the log after it, or if this
 *    signer knows a larger head: the log was restored.
 * 2. Extend the tree by all events of the log (a strong read). It passes the last head's size on the way, and there its
 *    root must be the one that was signed.
 * 3. Sign size and root, and append them, expecting that the event of step 1 is still the last one. If it is not, begin
 *    again with step 1: the other signer's head is then the last one.
 *
 * So no size is smaller than the one before it, no size has two roots, and a signer that dies between two steps leaves
 * nothing behind.
 */
export class TreeHeadSigner {
  readonly ring: LogKeyRing;
  private readonly tree: VerifiedTree;
  private running: Promise<unknown> = Promise.resolve();
  private next: Promise<SignedHead> | undefined;
  /** The largest head that this process has seen of each origin. */
  private readonly largest = new Map<string, number>();
  private unsignedSince: number | undefined;

  constructor(private readonly options: TreeHeadSignerOptions) {
    const { book, reader, masterKeys } = options;
    this.ring = new LogKeyRing(book.signingKeys, masterKeys);
    this.tree = new VerifiedTree(book.log, reader);
  }

  /**
   * Returns a head that covers every event that was acknowledged before the call: a new one, or the last one if nothing
   * has come since. Throws `TreeHeadsRefused`, `NotDuringUpgrade`, `LogUnavailable`, `RevisionConflict`, and what
   * `TreeReader` throws.
   */
  sign(signal: AbortSignal): Promise<SignedHead> {
    // Calls that come while a head is being signed share the next one.
    this.next ??= this.running.then(
      () => this.begin(signal),
      () => this.begin(signal),
    );
    return this.next;
  }

  /** Signs a head if one is due. Throws as `sign`. */
  async signIfDue(signal: AbortSignal): Promise<void> {
    const { book, reader, now } = this.options;
    if (book.eventVersions === 'previous') return;
    const { head } = await readLastTreeHead(book.log);
    const unsigned = (await reader.size()) - (head?.size ?? 0);
    this.unsignedSince = unsigned > 0 ? (this.unsignedSince ?? performance.now()) : undefined;
    const waited = this.unsignedSince !== undefined && performance.now() - this.unsignedSince >= LONGEST_WAIT_MS;
    const today = now().toISOString().slice(0, 10);
    if (unsigned >= LEAVES_OF_A_HEAD || waited || (head && head.signedAt.slice(0, 10) < today)) await this.sign(signal);
  }

  private begin(signal: AbortSignal): Promise<SignedHead> {
    this.next = undefined;
    const signed = this.attempt(signal, 1);
    this.running = signed;
    return signed;
  }

  private async attempt(signal: AbortSignal, attempt: number): Promise<SignedHead> {
    const { book, publicUrl, now } = this.options;
    if (book.eventVersions === 'previous') throw new NotDuringUpgrade();
    const last = await readLastTreeHead(book.log, 'strong');
    await this.requireOwnHeads(last);
    const origin = last.origin ?? firstOrigin(publicUrl, book.logId);
    // The first heads publish keys, and these events are leaves.
    const at = now().toISOString();
    const keys = await this.ring.current(at);
    const { size, root } = await this.tree.extend(last.head, signal);
    const isDaily = last.head !== undefined && last.head.signedAt.slice(0, 10) < at.slice(0, 10);
    if (last.head?.size === size && !isDaily) return this.seen(last.head);
    const head = { origin, size, root: Buffer.from(root).toString('base64') };
    const note = this.ring.sign(keys, origin, treeHeadText({ origin, size, root }), at);
    try {
      const signedAt = await appendTreeHeadsEvent(book, last, at, (occurredAt) => ({
        event: { type: 'TreeHeadSigned', data: { size, root: head.root, note } },
        result: occurredAt,
      }));
      this.tree.confirm();
      return this.seen({ ...head, note, signedAt });
    } catch (error) {
      if (!(error instanceof RevisionConflict) || attempt === MAX_ATTEMPTS) throw error;
      return this.attempt(signal, attempt + 1);
    }
  }

  /** Throws `TreeHeadsRefused` if heads may be lost that were signed for this log. */
  private async requireOwnHeads(last: LastTreeHead): Promise<void> {
    if (await isAdoptedSince(this.options.book.log, last)) {
      throw new TreeHeadsRefused(
        'The log was restored to an older state after its last head: see log adopt --since and --new-origin',
      );
    }
    const { origin, head } = last;
    const known = this.largest.get(origin ?? '') ?? (origin === undefined ? Math.max(0, ...this.largest.values()) : 0);
    if ((head?.size ?? 0) < known) {
      throw new TreeHeadsRefused(
        `The log has lost its head of ${known} leaves: see log adopt --since and --new-origin`,
      );
    }
  }

  private seen(head: SignedHead): SignedHead {
    this.largest.set(head.origin, Math.max(head.size, this.largest.get(head.origin) ?? 0));
    return head;
  }
}

/**
 * Appends an event behind the last one of stream `treeHeads`. It is never dated before that one. Throws
 * `RevisionConflict` if it is not the last one any more.
 */
export async function appendTreeHeadsEvent<Result>(
  { log, eventVersions }: Pick<BookOfRecord, 'log' | 'eventVersions'>,
  { event: before }: Pick<LastTreeHead, 'event'>,
  at: string,
  make: (occurredAt: string) => { readonly event: TreeHeadsEvent; readonly result: Result },
  context = internalContext({ via: 'tree', commandId: randomUUID() }),
): Promise<Result> {
  const occurredAt = before && at < before.metadata.occurredAt ? before.metadata.occurredAt : at;
  const { event, result } = make(occurredAt);
  const link = before && { revision: before.revision, hash: before.metadata.hash };
  const sealed = seal(TREE_HEADS_STREAM, link, [event], context, occurredAt, eventVersions);
  await log.append(TREE_HEADS_STREAM, before?.revision ?? 'none', sealed);
  return result;
}
