import type { FollowedEvent, StreamPrefix } from '#event-log';
import { type EventMetadata, type JsonObject, type RecordedEvent, redact } from '#events';
import type { DocumentSchema } from '../document-schema.js';
import type { StoredDocument } from '../port.js';
import type { ReadModel } from './projection.js';

/**
 * An event of a client or a subscription as the log stored it, with each sensitive field replaced by its hash. The hash
 * chain can be verified from these documents. The event is never upcast (converted to a newer schema version), because
 * that would change what was hashed.
 */
export interface HistoryDocument extends EventMetadata {
  readonly stream: string;
  /** Decimal number. `revisionKey` is the same number padded to 20 digits, for sorting. */
  readonly revision: string;
  readonly revisionKey: string;
  readonly eventId: string;
  readonly type: string;
  /** The event's data in the schema version `schemaVersion`. */
  readonly data: JsonObject;
}

/** The streams whose events are shown. */
const STREAMS: readonly StreamPrefix[] = ['consumerClient-', 'subscription-'];

/** Every list contains the events of a single stream. */
const list = { sorts: { revision: 'revisionKey' } } as const;

/** The schema is open, because an event is kept as it was stored, and future events may have more metadata. */
const document: DocumentSchema<HistoryDocument> = {
  fields: {
    stream: 'string',
    revision: 'string',
    revisionKey: 'string',
    eventId: 'string',
    type: 'string',
    data: 'object',
    commandId: 'string',
    commandHash: 'string',
    actor: {
      fields: { subject: 'string', roles: { listOf: 'string' }, via: 'string' },
      open: true,
    } satisfies DocumentSchema<HistoryDocument['actor']>,
    workspaceId: 'string',
    correlationId: 'string',
    causationId: 'string',
    schemaVersion: 'integer',
    occurredAt: 'string',
    previousHash: 'string',
    hash: 'string',
  },
  optional: ['workspaceId'],
  open: true,
};

/**
 * Every revision fits in 20 digits. So ids and keys that contain padded revisions sort in the order of the revisions.
 */
const revisionKeyOf = ({ revision }: FollowedEvent) => revision.toString().padStart(20, '0');

const documentsOf = (event: FollowedEvent): readonly string[] =>
  STREAMS.some((prefix) => event.stream.startsWith(prefix)) ? [`${event.stream}/${revisionKeyOf(event)}`] : [];

const apply = (_: HistoryDocument | undefined, event: FollowedEvent): HistoryDocument => {
  const { eventId, type, data, metadata } = redact(event.recorded);
  const revision = event.revision.toString();
  return { ...metadata, stream: event.stream, revision, revisionKey: revisionKeyOf(event), eventId, type, data };
};

/** One document per event in the stream of a client or a subscription. */
export const history: ReadModel<HistoryDocument, typeof list> = {
  name: 'history',
  version: 2,
  streams: STREAMS,
  indexes: [['stream', 'revisionKey']],
  document,
  list,
  documentsOf,
  streamOf: (id) => id.slice(0, id.lastIndexOf('/')),
  isOneEventEach: true,
  apply,
  count: { changeBy: (event) => documentsOf(event).length },
};

/** Returns the redacted event from which the document was made, in the form that `verifyChain` takes. */
export function recordedEventOf({ doc, position }: StoredDocument<HistoryDocument>): RecordedEvent {
  const { stream, revision, revisionKey: _, eventId, type, data, ...metadata } = doc;
  return { stream, revision: BigInt(revision), position, eventId, type, data, metadata };
}
