import { type ClientId, clientIdOf, consumerClient } from '#domain';
import type { FollowedEvent } from '#event-log';
import { type EventMetadata, type JsonObject, type RecordedEvent, redact } from '#events';
import type { DocumentSchema } from '../document-schema.js';
import type { StoredDocument } from '../port.js';
import type { ReadModel } from './projection.js';

/**
 * An event of a client as the log stored it, with each sensitive field replaced by its hash. The hash chain can be
 * verified from these documents. The event is never upcast (converted to a newer schema version), because that would
 * change what was hashed.
 */
export interface HistoryDocument extends EventMetadata {
  readonly clientId: ClientId;
  /** Decimal number. `revisionKey` is the same number padded to 20 digits, for sorting. */
  readonly revision: string;
  readonly revisionKey: string;
  readonly eventId: string;
  readonly type: string;
  /** The event's data in the schema version `schemaVersion`. */
  readonly data: JsonObject;
}

/** Every list contains the events of a single client. */
const list = { sorts: { revision: 'revisionKey' } } as const;

/** The schema is open, because an event is kept as it was stored, and future events may have more metadata. */
const document: DocumentSchema<HistoryDocument> = {
  fields: {
    clientId: 'string',
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

const documentsOf = (event: FollowedEvent): readonly string[] => {
  const clientId = clientIdOf(event.stream);
  return clientId === undefined ? [] : [`${clientId}/${revisionKeyOf(event)}`];
};

const clientIdIn = (documentId: string) => documentId.slice(0, documentId.indexOf('/')) as ClientId;

const apply = (_: HistoryDocument | undefined, event: FollowedEvent, id: string): HistoryDocument => {
  const { eventId, type, data, metadata } = redact(event.recorded);
  const revision = event.revision.toString();
  return { ...metadata, clientId: clientIdIn(id), revision, revisionKey: revisionKeyOf(event), eventId, type, data };
};

/** One document per event in a client's stream. */
export const history: ReadModel<HistoryDocument, typeof list> = {
  name: 'history',
  version: 1,
  streams: ['consumerClient-'],
  indexes: [['clientId', 'revisionKey']],
  document,
  list,
  documentsOf,
  streamOf: (id) => consumerClient.stream(clientIdIn(id)),
  isOneEventEach: true,
  apply,
  count: { changeBy: (event) => documentsOf(event).length },
};

/** Returns the redacted event from which the document was made, in the form that `verifyChain` takes. */
export function recordedEventOf({ doc, position }: StoredDocument<HistoryDocument>): RecordedEvent {
  const { clientId, revision, revisionKey: _, eventId, type, data, ...metadata } = doc;
  const stream = consumerClient.stream(clientId);
  return { stream, revision: BigInt(revision), position, eventId, type, data, metadata };
}
