import {
  type ClientId,
  clientIdOf,
  consumerClient,
  subscription,
  type SubscriptionId,
  type WorkspaceId,
} from '#domain';
import type { FollowedEvent } from '#event-log';
import type { Projection } from '#read-models';

/** Records whether a client is assigned to a subscription. Its id is `<clientId>/<subscriptionId>`. */
export interface AssignmentDocument {
  readonly subscriptionId: SubscriptionId;
  readonly clientId: ClientId;
  readonly assigned: boolean;
}

/** Records whether a subscription has ended, and how many clients it has. Its id is the subscription's id. */
export interface SubscriptionDocument {
  readonly subscriptionId: SubscriptionId;
  readonly workspaceId: WorkspaceId;
  /** Number of clients that are assigned to the subscription. */
  readonly clients: number;
  /** Set if the subscription has ended: the event that ended it. */
  readonly end?: { readonly eventId: string; readonly correlationId: string };
  /** Whether the subscription has ended but still has clients. Absent if not, so that lists leave the document out. */
  readonly isLeftOver?: true;
}

/** Only the process manager reads these documents. Client ids and subscription ids contain no slash. */
export type ModelDocument = AssignmentDocument | SubscriptionDocument;

const assignmentId = (clientId: ClientId, subscriptionId: SubscriptionId): string => `${clientId}/${subscriptionId}`;

/** Splits the id of an `AssignmentDocument`. */
export const partsOf = (id: string): { clientId: ClientId; subscriptionId: SubscriptionId } => {
  const slash = id.indexOf('/');
  return { clientId: id.slice(0, slash) as ClientId, subscriptionId: id.slice(slash + 1) };
};

/** Whether a document with this id is an `AssignmentDocument`. */
export const isAssignmentId = (id: string): boolean => id.includes('/');

/** Returns the subscriptions whose clients the event changes. */
const subscriptionsOf = (event: FollowedEvent): readonly SubscriptionId[] => {
  switch (event.type) {
    case 'ConsumerClientAssignedToSubscription':
    case 'ConsumerClientUnassignedFromSubscription':
      return [event.data.subscriptionId];
    case 'ConsumerClientRevoked':
      return event.data.subscriptions;
    default:
      return [];
  }
};

/**
 * Returns the id of the client whose stream contains the event. Throws `Error` if the event is not in the stream of a
 * client.
 */
function clientOf({ type, stream }: FollowedEvent): ClientId {
  const clientId = clientIdOf(stream);
  if (clientId === undefined) throw new Error(`${type} outside the stream of a client`);
  return clientId;
}

const documentsOf = (event: FollowedEvent): readonly string[] => {
  switch (event.type) {
    case 'SubscriptionRegistered':
    case 'SubscriptionEnded':
      return [event.data.subscriptionId];
    default:
      return subscriptionsOf(event).flatMap((id) => [assignmentId(clientOf(event), id), id]);
  }
};

function applyToAssignment(
  before: AssignmentDocument | undefined,
  event: FollowedEvent,
  id: string,
): AssignmentDocument {
  const assigned = event.type === 'ConsumerClientAssignedToSubscription';
  if (assigned === (before?.assigned ?? false)) {
    throw new Error(`${event.type} of a client that is ${assigned ? 'assigned' : 'not assigned'}`);
  }
  return { ...partsOf(id), assigned };
}

function applyToSubscription(before: SubscriptionDocument | undefined, event: FollowedEvent): SubscriptionDocument {
  if (event.type === 'SubscriptionRegistered') {
    const { subscriptionId, workspaceId } = event.data;
    return { subscriptionId, workspaceId, clients: 0 };
  }
  if (!before) throw new Error(`${event.type} of a subscription that is not registered`);
  switch (event.type) {
    case 'SubscriptionEnded': {
      const { eventId, metadata } = event;
      return withIsLeftOver({ ...before, end: { eventId, correlationId: metadata.correlationId } });
    }
    case 'ConsumerClientAssignedToSubscription':
      return withIsLeftOver({ ...before, clients: before.clients + 1 });
    default:
      return withIsLeftOver({ ...before, clients: before.clients - 1 });
  }
}

/** Sets `isLeftOver` according to the other fields. */
const withIsLeftOver = ({ isLeftOver: _, ...document }: SubscriptionDocument): SubscriptionDocument =>
  document.end && document.clients > 0 ? { ...document, isLeftOver: true } : document;

/** The model of the process manager `SubscriptionEnds`: who is assigned to which subscription, and which have ended. */
export const assignments: Projection<ModelDocument> = {
  name: 'assignments',
  version: 2,
  streams: ['consumerClient-', 'subscription-'],
  indexes: [
    ['subscriptionId', 'assigned', 'clientId'],
    ['isLeftOver', 'subscriptionId'],
  ],
  documentsOf,
  streamOf: (id) => (isAssignmentId(id) ? consumerClient.stream(partsOf(id).clientId) : subscription.stream(id)),
  apply: (document, event, id) =>
    isAssignmentId(id)
      ? applyToAssignment(document as AssignmentDocument | undefined, event, id)
      : applyToSubscription(document as SubscriptionDocument | undefined, event),
  // The number of assignments falls, too, and a count of documents that change meanwhile may miss one. The check of the
  // first build would refuse a right build.
  count: 'NOT_COUNTED',
};
