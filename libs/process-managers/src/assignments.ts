import type { ClientId, SubscriptionId } from '#domain';
import type { FollowedEvent, Projection } from '#read-models';

/** Whether a client is assigned to a subscription: the process manager's own model, nobody else's. */
export interface AssignmentDocument {
  readonly subscriptionId: SubscriptionId;
  readonly clientId: ClientId;
  readonly assigned: boolean;
}

const STREAM_PREFIX = 'consumerClient-';

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

/** The client whose stream the event is in. */
export const clientIdOf = (event: Pick<FollowedEvent, 'stream'>): ClientId =>
  event.stream.slice(STREAM_PREFIX.length) as ClientId;

/** Ids are `<clientId>/<subscriptionId>`; neither holds a slash. */
export const assignments: Projection<AssignmentDocument> = {
  name: 'assignments',
  version: 1,
  indexes: [['subscriptionId', 'assigned', 'clientId']],
  documentsOf: (event) => subscriptionsOf(event).map((subscriptionId) => `${clientIdOf(event)}/${subscriptionId}`),
  streamOf: (id) => `${STREAM_PREFIX}${id.slice(0, id.indexOf('/'))}`,
  apply: (_, event, id) => ({
    clientId: clientIdOf(event),
    subscriptionId: id.slice(id.indexOf('/') + 1),
    assigned: event.type === 'ConsumerClientAssignedToSubscription',
  }),
};
