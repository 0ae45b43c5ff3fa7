import { type EndpointUri, type Instant, subscription, type SubscriptionId, type WorkspaceId } from '#domain';
import type { FollowedEvent } from '#event-log';
import type { DocumentSchema } from '../document-schema.js';
import type { ReadModel } from './projection.js';
import { searchKey } from './search-key.js';

/** A subscription as lists return it. The `clients` projection tells which clients are assigned to the subscription. */
export interface SubscriptionDocument {
  readonly subscriptionId: SubscriptionId;
  readonly workspaceId: WorkspaceId;
  readonly endpointUri: EndpointUri;
  readonly serviceName: string;
  readonly status: 'LIVE' | 'ENDED';
  readonly registeredAt: Instant;
  readonly endedAt?: Instant;
  readonly endReason?: string;
  /** The service name in the form that is used for search and sorting (`searchKey`). */
  readonly serviceNameKey: string;
}

/**
 * Every list of subscriptions is restricted to one workspace. A search for the beginning of a name is sorted by name.
 */
const list = {
  sorts: { registeredAt: 'registeredAt', serviceName: 'serviceNameKey' },
  prefix: { serviceName: 'serviceNameKey' },
} as const;

const document: DocumentSchema<SubscriptionDocument> = {
  fields: {
    subscriptionId: 'string',
    workspaceId: 'string',
    endpointUri: 'string',
    serviceName: 'string',
    status: { oneOf: ['LIVE', 'ENDED'] },
    registeredAt: 'string',
    endedAt: 'string',
    endReason: 'string',
    serviceNameKey: 'string',
  },
  optional: ['endedAt', 'endReason'],
};

const documentsOf = (event: FollowedEvent): readonly string[] => {
  switch (event.type) {
    case 'SubscriptionRegistered':
    case 'SubscriptionEnded':
      return [event.data.subscriptionId];
    default:
      return [];
  }
};

const apply = (subscription: SubscriptionDocument | undefined, event: FollowedEvent): SubscriptionDocument => {
  switch (event.type) {
    case 'SubscriptionRegistered': {
      if (subscription) throw new Error('SubscriptionRegistered of a subscription that is registered');
      const { subscriptionId, workspaceId, endpointUri, serviceName, registeredAt } = event.data;
      return {
        ...{ subscriptionId, workspaceId, endpointUri, serviceName, status: 'LIVE', registeredAt },
        serviceNameKey: searchKey(serviceName),
      };
    }
    case 'SubscriptionEnded':
      if (subscription?.status !== 'LIVE') throw new Error('SubscriptionEnded of a subscription that is not live');
      return { ...subscription, status: 'ENDED', endedAt: event.data.endedAt, endReason: event.data.reason };
    default:
      throw new Error(`${event.type} is no event of a subscription`);
  }
};

/** One document per subscription. An ended subscription keeps its document. */
export const subscriptions: ReadModel<SubscriptionDocument, typeof list> = {
  name: 'subscriptions',
  version: 2,
  streams: ['subscription-'],
  indexes: Object.values(list.sorts).flatMap((sort) => [
    ['workspaceId', sort],
    ['workspaceId', 'status', sort],
  ]),
  document,
  list,
  documentsOf,
  streamOf: subscription.stream,
  apply,
};
