import { type EventMetadata, type JsonObject, type RecordedEvent, redact } from '#events';
import { clientOf } from './clients.js';
import type { StoredDocument } from './port.js';
import type { FollowedEvent, Projection } from './projection.js';

/**
 * An event of a client as it was stored, whole but for its sensitive fields, which are replaced by their hashes: the hash
 * chain can be verified from it. Never upcast: that would change what was hashed.
 */
export interface HistoryDocument extends EventMetadata {
  readonly clientId: string;
  /** Decimal; `revisionKey` is the same in 20 digits, to be sorted by. */
  readonly revision: string;
  readonly revisionKey: string;
  readonly eventId: string;
  readonly type: string;
  /** Of version `schemaVersion`. */
  readonly data: JsonObject;
}

/** How a history is listed: always of one client. */
export const historyList = { sorts: { revision: 'revisionKey' } } as const;

/** 20 digits hold every revision, so that ids and keys sort as revisions do. */
const revisionKeyOf = ({ revision }: FollowedEvent) => revision.toString().padStart(20, '0');

const documentsOf = (event: FollowedEvent): readonly string[] => {
  const clientId = clientOf(event);
  return clientId === undefined ? [] : [`${clientId}/${revisionKeyOf(event)}`];
};

const streamOf = (clientId: string) => `consumerClient-${clientId}`;

const clientIdOf = (id: string): string => id.slice(0, id.indexOf('/'));

const apply = (_: HistoryDocument | undefined, event: FollowedEvent, id: string): HistoryDocument => {
  const { eventId, type, data, metadata } = redact(event.recorded);
  const revision = event.revision.toString();
  return { ...metadata, clientId: clientIdOf(id), revision, revisionKey: revisionKeyOf(event), eventId, type, data };
};

/** One document per event in a client's stream. */
export const history: Projection<HistoryDocument> = {
  name: 'history',
  version: 1,
  indexes: [['clientId', 'revisionKey']],
  documentsOf,
  streamOf: (id) => streamOf(clientIdOf(id)),
  apply,
};

/** The redacted event that the document was made of, as `verifyChain` takes it. */
export function recordedEventOf({ doc, position }: StoredDocument<HistoryDocument>): RecordedEvent {
  const { clientId, revision, revisionKey: _, eventId, type, data, ...metadata } = doc;
  return { stream: streamOf(clientId), revision: BigInt(revision), position, eventId, type, data, metadata };
}
