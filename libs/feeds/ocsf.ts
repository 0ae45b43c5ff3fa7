import type { JsonObject } from '#events';
import { sourceOf, subjectOf, typeOf } from './cloud-event.js';
import type { FeedEvent } from './event-feed.js';

/** The version of the schema by which the events are mapped. */
const OCSF_VERSION = '1.3.0';
const IDENTITY_AND_ACCESS = 3;
const AUTHENTICATION = 3002;
const ENTITY_MANAGEMENT = 3004;
const INFORMATIONAL = 1;
const SUCCESS = 1;

type EntityActivity = 'Create' | 'Update' | 'Delete';
type AuthenticationActivity = 'Logon' | 'Logoff';

/** `activity_id` of both classes. */
const ACTIVITY_IDS: Readonly<Record<EntityActivity | AuthenticationActivity, number>> = {
  ...{ Create: 1, Update: 3, Delete: 4 },
  ...{ Logon: 1, Logoff: 2 },
};

/** The events that are about tokens. */
const AUTHENTICATIONS: Readonly<Record<string, AuthenticationActivity>> = {
  ConsumerClientStaticTokenIssued: 'Logon',
  ConsumerClientTokenRevoked: 'Logoff',
  ConsumerClientTokensEnded: 'Logoff',
};

/** The events with which something begins or ends. All others change something. */
const BEGINNINGS_AND_ENDS: Readonly<Record<string, EntityActivity>> = {
  ConsumerClientCreated: 'Create',
  ConsumerClientRevoked: 'Delete',
  SubscriptionRegistered: 'Create',
  SubscriptionEnded: 'Delete',
  TreeHeadSigned: 'Create',
  TreeOriginStarted: 'Create',
};

/** An event of the Open Cybersecurity Schema Framework: one of the classes Entity Management and Authentication. */
export interface OcsfEvent {
  readonly activity_id: number;
  readonly activity_name: EntityActivity | AuthenticationActivity;
  readonly category_uid: number;
  readonly category_name: string;
  readonly class_uid: number;
  readonly class_name: string;
  readonly type_uid: number;
  readonly type_name: string;
  /** In ms since 1970. */
  readonly time: number;
  readonly severity_id: number;
  readonly severity: string;
  readonly status_id: number;
  readonly status: string;
  readonly actor: JsonObject;
  readonly metadata: JsonObject;
  /** Of Entity Management. */
  readonly entity?: JsonObject;
  readonly comment?: string;
  /** Of Authentication. */
  readonly user?: JsonObject;
  readonly service?: JsonObject;
  readonly unmapped: JsonObject;
}

/**
 * Returns the event by OCSF 1.3.0, as the table in docs/feeds.md maps it: events about tokens are of the class
 * Authentication, all others of the class Entity Management. What the schema has no place for is in `unmapped`, so that
 * nothing of the event is lost. `origin`: the name of the log, as in the heads of its tree.
 */
export function ocsfEventOf(feedEvent: FeedEvent, origin: string): OcsfEvent {
  const { type } = feedEvent.event;
  const authentication = AUTHENTICATIONS[type];
  if (authentication !== undefined) {
    return {
      ...classified(AUTHENTICATION, 'Authentication', authentication),
      ...common(feedEvent, origin),
      ...authenticationOf(feedEvent),
    };
  }
  return {
    ...classified(ENTITY_MANAGEMENT, 'Entity Management', BEGINNINGS_AND_ENDS[type] ?? 'Update'),
    ...common(feedEvent, origin),
    ...entityOf(feedEvent),
  };
}

function classified(uid: number, name: string, activity: EntityActivity | AuthenticationActivity) {
  const activityId = ACTIVITY_IDS[activity];
  return {
    activity_id: activityId,
    activity_name: activity,
    category_uid: IDENTITY_AND_ACCESS,
    category_name: 'Identity & Access Management',
    class_uid: uid,
    class_name: name,
    type_uid: uid * 100 + activityId,
    type_name: `${name}: ${activity}`,
  };
}

function common({ event, leafIndex }: FeedEvent, origin: string) {
  const { eventId, revision, position, metadata, data } = event;
  const { actor, occurredAt, workspaceId, correlationId, hash, previousHash } = metadata;
  const time = Date.parse(occurredAt);
  return {
    time,
    ...{ severity_id: INFORMATIONAL, severity: 'Informational', status_id: SUCCESS, status: 'Success' },
    actor: { user: { uid: actor.subject, name: actor.subject }, app_name: actor.via },
    metadata: {
      version: OCSF_VERSION,
      product: { name: 'Consumer Clients', vendor_name: 'Consumer Clients' },
      uid: eventId,
      event_code: typeOf(event),
      correlation_uid: correlationId,
      log_name: sourceOf(event, origin),
      logged_time: time,
      original_time: occurredAt,
      ...(workspaceId !== undefined && { tenant_uid: workspaceId }),
    },
    unmapped: {
      ...{ sequence: position, revision: revision.toString(), hash, previousHash, data },
      ...(leafIndex !== undefined && { leafindex: leafIndex.toString() }),
    },
  };
}

function authenticationOf({ event: { stream, data, metadata } }: FeedEvent) {
  const clientId = subjectOf(stream) ?? stream;
  const { generation, subscriptionId } = data;
  return {
    user: {
      ...{ uid: clientId, name: clientId, type: 'Consumer client' },
      ...(typeof generation === 'number' && { credential_uid: `${clientId}/${generation}` }),
      ...(metadata.workspaceId !== undefined && { org: { uid: metadata.workspaceId } }),
    },
    service: {
      name: 'Consumer Clients',
      ...(typeof subscriptionId === 'string' && { uid: subscriptionId }),
    },
  };
}

const KINDS: Readonly<Record<string, string>> = {
  consumerClient: 'ConsumerClient',
  subscription: 'Subscription',
  treeHeads: 'TreeHead',
};

function entityOf({ event: { stream, revision, data } }: FeedEvent) {
  const kind = stream.split('-', 1)[0] ?? stream;
  const { name, serviceName, reason } = data;
  const shownName = name ?? serviceName;
  return {
    entity: {
      uid: subjectOf(stream) ?? stream,
      type: KINDS[kind] ?? kind,
      version: revision.toString(),
      ...(typeof shownName === 'string' && { name: shownName }),
    },
    ...(typeof reason === 'string' && { comment: reason }),
  };
}
