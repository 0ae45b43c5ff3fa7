import { hash } from 'node:crypto';
import type { Instant } from '#domain';

import { canonicalJson, NotCanonical } from './canonical-json.js';
import type {
  CommandContext,
  EventMetadata,
  JsonObject,
  NewEvent,
  Position,
  RecordedEvent,
  Revision,
} from './envelope.js';
import { UnknownEvent } from './errors.js';
import { type LogEvent, redact, validate } from './registry.js';
import { uuidV5 } from './uuid-v5.js';

/** What the first event of a stream is chained to. */
export const FIRST_HASH = '0'.repeat(64);

/** An event of a stream, as the next one is chained to it. */
export interface ChainLink {
  readonly revision: Revision;
  readonly hash: string;
}

/** An event before its hash, or with a hash that is not looked at. */
export type UnhashedEvent = Omit<NewEvent, 'metadata'> & {
  readonly stream: string;
  readonly revision: Revision;
  readonly position?: Position;
  readonly metadata: Omit<EventMetadata, 'hash'>;
};

/**
 * UUIDv5 (RFC 9562) under the command's id: the same decision sent again has the same ids, another decision under the
 * same command has others.
 */
export const eventIdOf = (commandId: string, index: number, type: string, data: object): string =>
  uuidV5(`${index}:${hash('sha256', canonicalJson({ type, data }))}`, commandId);

/**
 * SHA-256 (hex) over the RFC 8785 form of the event as it is stored, with its sensitive fields redacted: so an event
 * and its redacted form have one hash, and the upcast form has none. Throws `UnknownEvent`, `NotCanonical`.
 */
export function hashOf(event: UnhashedEvent): string {
  const { stream, revision, type, eventId, data, metadata } = redact(event);
  return hash(
    'sha256',
    canonicalJson({
      stream,
      revision: revision.toString(),
      type,
      eventId,
      data,
      metadata: { ...metadata, hash: undefined },
    }),
  );
}

/**
 * The events of one decision, ready to be appended to `stream` behind `last` (`undefined`: as its first).
 * Throws `InvalidEvent`.
 */
export function seal(
  stream: string,
  last: ChainLink | undefined,
  events: readonly LogEvent[],
  context: CommandContext,
  occurredAt: Instant,
): NewEvent[] {
  let link = last;
  return events.map((event, index) => {
    const schemaVersion = validate(event);
    const { type } = event;
    const data: JsonObject = { ...event.data };
    const eventId = eventIdOf(context.commandId, index, type, data);
    const unhashed = { ...contextOf(context), schemaVersion, occurredAt, previousHash: link?.hash ?? FIRST_HASH };
    const revision = link ? link.revision + 1n : 0n;
    const metadata = { ...unhashed, hash: hashOf({ stream, revision, type, eventId, data, metadata: unhashed }) };
    link = { revision, hash: metadata.hash };
    return { eventId, type, data, metadata };
  });
}

/** The context's own fields only: whatever else the caller's object holds would be stored for ever. */
const contextOf = (context: CommandContext): CommandContext => {
  const { commandId, commandHash, actor, workspaceId, correlationId, causationId } = context;
  const { subject, roles, via } = actor;
  return {
    commandId,
    commandHash,
    actor: { subject, roles, via },
    ...(workspaceId !== undefined && { workspaceId }),
    correlationId,
    causationId,
  };
};

export type ChainFault =
  /** The event belongs to another stream. */
  | 'FOREIGN_STREAM'
  /** Its revision doesn't follow the one before: something was dropped, inserted or swapped. */
  | 'REVISION_GAP'
  /** It is chained to another event than the one before it. */
  | 'PREVIOUS_HASH_MISMATCH'
  /** This code doesn't know its type or version, and can't tell. */
  | 'UNKNOWN_EVENT'
  /** It isn't what was hashed. */
  | 'HASH_MISMATCH';

export type ChainVerdict =
  /** `last` is the end of what was verified; a chain that was cut short is told by comparing it with a known one. */
  | { readonly whole: true; readonly last: ChainLink | undefined }
  /** The first event at fault. */
  | { readonly whole: false; readonly fault: ChainFault; readonly revision: Revision; readonly position: Position };

/**
 * Verifies one stream's events, oldest first, stored or redacted (not upcast): from the stream's beginning, or behind
 * a link that was verified before.
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
    if (error instanceof NotCanonical) return 'HASH_MISMATCH'; // what can't be hashed was never sealed
    throw error;
  }
}
