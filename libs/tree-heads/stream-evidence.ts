import { type Instant, type SigningKeysState, signingLogKeys } from '#domain';
import type { EventLog } from '#event-log';
import { hashedForm, type RecordedEvent } from '#events';
import {
  evidenceFiles,
  keyIdOf,
  parseNote,
  type ProvenEvent,
  statementText,
  type StreamStatement,
} from '#transparency';
import { EvidenceTooLarge, NoTreeHead, NotYetInHead, SinceBeyondHead } from './errors.js';
import { type LogKeyRing, noteKeyOf } from './log-key-ring.js';
import { readLastTreeHead, type SignedHead } from './tree-head-record.js';
import type { TreeAtSize, TreeReader } from './tree-reader.js';

/** Number of proofs that are made at once. */
const PROOFS_AT_ONCE = 50;

/** The types of the events that end a stream. */
const ENDING_TYPES: readonly string[] = ['ConsumerClientRevoked', 'SubscriptionEnded'];

export interface EvidenceSources {
  readonly log: Pick<EventLog, 'readStream'>;
  readonly reader: TreeReader;
  readonly ring: LogKeyRing;
}

export interface EvidenceQuestion {
  readonly stream: string;
  /** The size of a tree that the reader knows: the evidence proves that the tree extends it. */
  readonly since?: number;
  readonly at: Instant;
  /** Evidence of more events is refused. The default is any number of events. */
  readonly maxEvents?: number;
  /** Aborts when nobody waits for the evidence any more. */
  readonly signal?: AbortSignal;
  /** Whether the caller may see the stream whose first event this is. */
  readonly isVisible: (first: RecordedEvent) => boolean;
  /** Makes the text of the file `policy` from the keys that sign now. */
  readonly policy?: (keys: SigningKeysState, origin: string) => string;
}

/**
 * Returns the files of the evidence about a stream (docs/evidence.md); `undefined` if the stream does not exist, or the
 * caller may not see it.
 *
 * 1. Read the last signed head.
 * 2. Read the stream strongly. In this order, the events that the head covers are all events of the stream up to that
 *    head, so the statement that is signed in step 4 is true.
 * 3. Prove each event at the head's own size.
 * 4. Sign the statement.
 *
 * Throws `NoTreeHead`, `NotYetInHead`, `SinceBeyondHead`, `EvidenceTooLarge`, `HistoryMissing`, `LogUnavailable`, the
 * signal's reason, and what `TreeReader` and `LogKeyRing` throw.
 */
export async function streamEvidence(
  sources: EvidenceSources,
  question: EvidenceQuestion,
): Promise<Map<string, Uint8Array> | undefined> {
  const { log, reader, ring } = sources;
  const { stream, since, at, maxEvents = Infinity, isVisible, policy, signal } = question;
  const { head } = await readLastTreeHead(log, 'strong');
  const events = await log.readStream(stream, {
    consistency: 'strong',
    ...(maxEvents < Infinity && { limit: maxEvents + 1 }),
  });
  signal?.throwIfAborted();
  const [first] = events;
  const last = events.at(-1);
  if (!first || !last || !isVisible(first)) return undefined;
  if (!head) throw new NoTreeHead();
  if (events.length > maxEvents) throw new EvidenceTooLarge(stream);
  if (since !== undefined && since > head.size) throw new SinceBeyondHead(head.size);
  const keys = await ring.current(at);
  // Somebody who knows only the key of now could not verify a head that only a former, compromised key has signed.
  if (!isSignedByNewest(keys, head, at)) throw new NotYetInHead(stream);
  const statement: StreamStatement = {
    ...{ origin: head.origin, stream, treeSize: head.size },
    ...{ lastRevision: last.revision, lastHash: last.metadata.hash },
    isEnded: ENDING_TYPES.includes(last.type),
  };
  const tree = await reader.at(head.size);
  const proven = await provenEvents(reader, tree, events, signal);
  const consistency = since !== undefined && {
    consistency: { oldSize: since, proof: await tree.consistencyProof(since) },
  };
  return evidenceFiles({
    ...{ events: proven, head: head.note, ...(policy && { policy: policy(keys, head.origin) }) },
    statement: ring.signStatement(keys, head.origin, statementText(statement), at),
    ...consistency,
  });
}

function isSignedByNewest(keys: SigningKeysState, { origin, note }: SignedHead, at: Instant): boolean {
  const [newest] = signingLogKeys(keys, 'LOG', at);
  const keyId = newest && keyIdOf(noteKeyOf(newest, origin));
  const signatures = parseNote(note)?.signatures ?? [];
  return keyId !== undefined && signatures.some((signature) => Buffer.compare(signature.keyId, keyId) === 0);
}

/** Throws `NotYetInHead` if an event is not among the first `size` leaves. */
async function provenEvents(
  reader: TreeReader,
  tree: TreeAtSize,
  events: readonly RecordedEvent[],
  signal?: AbortSignal,
): Promise<readonly ProvenEvent[]> {
  const proven: ProvenEvent[] = [];
  for (let from = 0; from < events.length; from += PROOFS_AT_ONCE) {
    signal?.throwIfAborted();
    const some = events.slice(from, from + PROOFS_AT_ONCE);
    proven.push(...(await Promise.all(some.map((event) => provenEvent(reader, tree, event)))));
  }
  return proven;
}

async function provenEvent(reader: TreeReader, tree: TreeAtSize, event: RecordedEvent): Promise<ProvenEvent> {
  const leafIndex = await reader.leafIndexOf(event);
  if (leafIndex === undefined || leafIndex >= tree.size) throw new NotYetInHead(event.stream);
  return { hashedForm: hashedForm(event), leafIndex, proof: await tree.inclusionProof(leafIndex) };
}
