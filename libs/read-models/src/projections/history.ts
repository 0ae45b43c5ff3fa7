import type { Instant, SubscriptionId } from '#domain';
import type { FollowedEvent, StreamPrefix } from '#event-log';
import { type EventMetadata, type JsonObject, type Position, type RecordedEvent, redact } from '#events';
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
  /** Decimal number. */
  readonly revision: string;
  /** The event's position, by which every list is sorted. */
  readonly positionKey: Position;
  /** The day of `occurredAt`, as `YYYY-MM-DD`. */
  readonly day: string;
  /** The subject of `actor`. */
  readonly actorSubject: string;
  /** The subscriptions that the event concerns. */
  readonly subscriptionIds: SubscriptionId[];
  readonly eventId: string;
  readonly type: string;
  /** The event's data in the schema version `schemaVersion`. */
  readonly data: JsonObject;
}

/** The streams whose events are shown. */
const STREAMS: readonly StreamPrefix[] = ['consumerClient-', 'subscription-'];

/** Every list contains the events of a single stream or of a single workspace. */
const list = { sorts: { position: 'positionKey' }, contains: { subscriptionId: 'subscriptionIds' } } as const;

/** The schema is open, because an event is kept as it was stored, and future events may have more metadata. */
const document: DocumentSchema<HistoryDocument> = {
  fields: {
    stream: 'string',
    revision: 'string',
    positionKey: 'string',
    day: 'string',
    actorSubject: 'string',
    subscriptionIds: { listOf: 'string' },
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

/** Every revision fits in 20 digits. So ids that contain padded revisions sort in the order of the revisions. */
const revisionKeyOf = ({ revision }: FollowedEvent) => revision.toString().padStart(20, '0');

const documentsOf = (event: FollowedEvent): readonly string[] =>
  STREAMS.some((prefix) => event.stream.startsWith(prefix)) ? [`${event.stream}/${revisionKeyOf(event)}`] : [];

const subscriptionIdsIn = (event: FollowedEvent): readonly SubscriptionId[] => {
  switch (event.type) {
    case 'SubscriptionRegistered':
    case 'SubscriptionEnded':
    case 'ConsumerClientAssignedToSubscription':
    case 'ConsumerClientUnassignedFromSubscription':
      return [event.data.subscriptionId];
    case 'ConsumerClientStaticTokenIssued':
      return event.data.subscriptionId === undefined ? [] : [event.data.subscriptionId];
    case 'ConsumerClientRevoked':
      return event.data.subscriptions;
    default:
      return [];
  }
};

const apply = (_: HistoryDocument | undefined, event: FollowedEvent): HistoryDocument => {
  const { eventId, type, data, metadata } = redact(event.recorded);
  return {
    ...metadata,
    ...{ stream: event.stream, revision: event.revision.toString(), positionKey: event.position, eventId, type, data },
    ...{ day: dayOf(metadata.occurredAt), actorSubject: metadata.actor.subject },
    subscriptionIds: [...subscriptionIdsIn(event)],
  };
};

/** Returns the day of a moment, in UTC, as `YYYY-MM-DD`. */
export const dayOf = (at: Instant): string => at.slice(0, 10);

/** One document per event in the stream of a client or a subscription. */
export const history: ReadModel<HistoryDocument, typeof list> = {
  name: 'history',
  version: 3,
  streams: STREAMS,
  indexes: [
    ['stream', 'positionKey'],
    ['workspaceId', 'positionKey'],
    ...['type', 'actorSubject', 'day'].map((field) => ['workspaceId', field, 'positionKey']),
  ],
  arrayIndexes: ['subscriptionIds'],
  document,
  list,
  documentsOf,
  streamOf: (id) => id.slice(0, id.lastIndexOf('/')),
  isOneEventEach: true,
  apply,
  count: { changeBy: (event) => documentsOf(event).length },
};

/** Returns the event as it was stored and hashed, with its revision, but without its stream and position. */
export function storedEventOf({ doc }: Pick<StoredDocument<HistoryDocument>, 'doc'>) {
  const { stream: _, positionKey: __, day: ___, actorSubject: ____, subscriptionIds: _____, ...event } = doc;
  return event;
}

/** Returns the redacted event from which the document was made, in the form that `verifyChain` takes. */
export function recordedEventOf(document: StoredDocument<HistoryDocument>): RecordedEvent {
  const { revision, eventId, type, data, ...metadata } = storedEventOf(document);
  const { stream } = document.doc;
  return { stream, revision: BigInt(revision), position: document.position, eventId, type, data, metadata };
}
