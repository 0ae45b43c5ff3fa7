import { type EndpointUri, type Instant, type SubscriptionId, type WorkspaceId, subscriptionStream } from '#domain';
import type { FollowedEvent, Projection } from './projection.js';
import { searchKey } from './search-key.js';

/** A subscription as it is listed; who uses it is asked of `clients`. */
export interface SubscriptionDocument {
  readonly subscriptionId: SubscriptionId;
  readonly workspaceId: WorkspaceId;
  readonly endpointUri: EndpointUri;
  readonly serviceName: string;
  readonly status: 'LIVE' | 'ENDED';
  readonly registeredAt: Instant;
  readonly endedAt?: Instant;
  readonly endReason?: string;
  /** What service names are searched and sorted by. */
  readonly serviceNameKey: string;
}

/** How subscriptions are listed: always within a workspace. A prefix of the name goes with the sort by name. */
export const subscriptionList = {
  sorts: { registeredAt: 'registeredAt', serviceName: 'serviceNameKey' },
  filters: { status: ['LIVE', 'ENDED'] },
  prefix: { serviceName: 'serviceNameKey' },
} as const;

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

/** One document per subscription, live or ended. */
export const subscriptions: Projection<SubscriptionDocument> = {
  name: 'subscriptions',
  version: 1,
  indexes: Object.values(subscriptionList.sorts).flatMap((sort) => [
    ['workspaceId', sort],
    ['workspaceId', 'status', sort],
  ]),
  documentsOf,
  streamOf: subscriptionStream,
  apply,
};
