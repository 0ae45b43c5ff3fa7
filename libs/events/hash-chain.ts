import { hash } from 'node:crypto';
import type { Instant } from '#domain';
import { canonicalJson, NotCanonical } from './canonical-json.js';
import type { CommandContext, EventMetadata, NewEvent, Position, RecordedEvent, Revision } from './envelope.js';
import { UnknownEvent } from './errors.js';
import { type EventVersions, type LogEvent, redact, writtenForm } from './registry.js';
import { uuidV5 } from './uuid-v5.js';

/** The `previousHash` of a stream's first event. */
export const FIRST_HASH = '0'.repeat(64);

/** The event to which the next event of the stream is chained. */
export interface ChainLink {
  readonly revision: Revision;
  readonly hash: string;
}

/** An event whose hash is to be computed. If the event has a hash already, that hash is ignored. */
export type UnhashedEvent = Omit<NewEvent, 'metadata'> & {
  readonly stream: string;
  readonly revision: Revision;
  readonly position?: Position;
  readonly metadata: Omit<EventMetadata, 'hash'>;
};

/**
 * Returns the event's id: a UUIDv5 (RFC 9562) in the namespace of the command's id. If a command is sent again and
 * leads to the same decision, the events get the same ids. A different decision under the same command gets different
 * ids.
 */
export const eventIdOf = (commandId: string, index: number, type: string, data: object): string =>
  eventIdFrom(commandId, index, type, canonicalJson(data));

/** Does the same as `eventIdOf`. `data`: the canonical form of the event's data. */
const eventIdFrom = (commandId: string, index: number, type: string, data: string): string =>
  uuidV5(`${index}:${hash('sha256', `{"data":${data},"type":${canonicalJson(type)}}`)}`, commandId);

/**
 * Returns the SHA-256 (hex) of the stored event's RFC 8785 form. Sensitive fields are redacted first, so an event and
 * its redacted form have the same hash. Do not pass an upcast event: its hash would differ. Throws `UnknownEvent`,
 * `NotCanonical`.
 */
export const hashOf = (event: UnhashedEvent): string => hash('sha256', hashedForm(event));

/**
 * Returns the text whose SHA-256 is the event's hash: the RFC 8785 form of the redacted event. It may leave the log.
 * Do not pass an upcast event. Throws `UnknownEvent`, `NotCanonical`.
 */
export function hashedForm(event: UnhashedEvent): string {
  const { data, metadata } = redact(event);
  return hashedFormFrom(event, canonicalJson(data), { ...metadata, hash: undefined });
}

/** Does the same as `hashedForm`. `data`: the canonical form of the event's redacted data. */
const hashedFormFrom = (
  { stream, revision, type, eventId }: Omit<UnhashedEvent, 'data' | 'metadata'>,
  data: string,
  metadata: object,
): string => {
  const end = `"revision":"${revision}","stream":${canonicalJson(stream)},"type":${canonicalJson(type)}`;
  return `{"data":${data},"eventId":${canonicalJson(eventId)},"metadata":${canonicalJson(metadata)},${end}}`;
};

/**
 * Adds ids, metadata and hashes to the events of one decision. The result can be appended to `stream`. `last`: the
 * stream's last event, or `undefined` if the stream is empty. An event about which the version that this process writes
 * has nothing to say is left out. Throws `InvalidEvent`.
 */
export function seal(
  stream: string,
  last: ChainLink | undefined,
  events: readonly LogEvent[],
  context: CommandContext,
  occurredAt: Instant,
  versions: EventVersions = 'current',
): NewEvent[] {
  let link = last;
  return events.flatMap((event, index) => {
    const written = writtenForm(event, versions);
    if (!written) return [];
    const { data, schemaVersion } = written;
    const { type } = event;
    // The canonical form is made once for both the id and the hash, because making it costs more than hashing it.
    const canonicalData = canonicalJson(data);
    const eventId = eventIdFrom(context.commandId, index, type, canonicalData);
    const metadata = metadataOf(context, { occurredAt, previousHash: link?.hash ?? FIRST_HASH, schemaVersion });
    const unhashed = { stream, revision: link ? link.revision + 1n : 0n, type, eventId, data, metadata };
    const redacted = redact(unhashed).data;
    const form = hashedFormFrom(unhashed, redacted === data ? canonicalData : canonicalJson(redacted), metadata);
    link = { revision: unhashed.revision, hash: hash('sha256', form) };
    return [{ eventId, type, data, metadata: { ...metadata, hash: link.hash } }];
  });
}

/**
 * Copies only the fields of the context, because any other field of the caller's object would be stored for ever. The
 * fields are in their canonical order, so that they need not be sorted for the hash.
 */
const metadataOf = (
  { actor, causationId, commandHash, commandId, correlationId, workspaceId }: CommandContext,
  { occurredAt, previousHash, schemaVersion }: Omit<EventMetadata, keyof CommandContext | 'hash'>,
): Omit<EventMetadata, 'hash'> => ({
  actor: { roles: actor.roles, subject: actor.subject, via: actor.via },
  causationId,
  commandHash,
  commandId,
  correlationId,
  occurredAt,
  previousHash,
  schemaVersion,
  ...(workspaceId !== undefined && { workspaceId }),
});

export type ChainFault =
  /** The event belongs to another stream. */
  | 'FOREIGN_STREAM'
  /** The event's revision doesn't follow the previous revision: events were dropped, inserted or swapped. */
  | 'REVISION_GAP'
  /** The event's `previousHash` is not the hash of the previous event. */
  | 'PREVIOUS_HASH_MISMATCH'
  /** This code doesn't know the event's type or version, so this code can't compute the event's hash. */
  | 'UNKNOWN_EVENT'
  /** The event's content does not match the event's hash. */
  | 'HASH_MISMATCH';

export type ChainVerdict =
  /**
   * `last` is the last verified event. To notice that a chain was cut short, compare `last` with a known last event.
   */
  | { readonly whole: true; readonly last: ChainLink | undefined }
  /** `revision` and `position` belong to the first event at fault. */
  | { readonly whole: false; readonly fault: ChainFault; readonly revision: Revision; readonly position: Position };

/**
 * Verifies the hash chain of one stream. `events`: the stream's events, oldest first, either stored or redacted, but
 * not upcast. The events start at the stream's beginning, or after a link that was verified before.
 */
export async function verifyChain(
  stream: string,
  events: Iterable<RecordedEvent> | AsyncIterable<RecordedEvent>,
  after?: ChainLink,
): Promise<ChainVerdict> {
  let last = after;
  for await (const event of events) {
    const fault = faultOf(event, stream, last);
    if (fault) return { whole: false, fault, revision: event.revision, position: event.position };
    last = { revision: event.revision, hash: event.metadata.hash };
  }
  return { whole: true, last };
}

function faultOf(event: RecordedEvent, stream: string, last: ChainLink | undefined): ChainFault | undefined {
  if (event.stream !== stream) return 'FOREIGN_STREAM';
  if (event.revision !== (last ? last.revision + 1n : 0n)) return 'REVISION_GAP';
  if (event.metadata.previousHash !== (last?.hash ?? FIRST_HASH)) return 'PREVIOUS_HASH_MISMATCH';
  try {
    return event.metadata.hash === hashOf(event) ? undefined : 'HASH_MISMATCH';
  } catch (error) {
    if (error instanceof UnknownEvent) return 'UNKNOWN_EVENT';
    if (error instanceof NotCanonical) return 'HASH_MISMATCH'; // `seal` makes no event that can't be hashed
    throw error;
  }
}
