import type { Decider, Instant } from './decider.js';
import { DomainError } from './domain-error.js';
import { type EndpointUri, validEndpointUri } from './endpoint-uri.js';
import { trimmedText } from './text.js';
import type { WorkspaceId } from './workspace.js';

/** Chosen by the portal: `[A-Za-z0-9_-]{1,64}`. */
export type SubscriptionId = string;

/** Stream `subscription-<id>`: one consumer's right to call one service. */
export const subscriptionStream = (id: SubscriptionId) => `subscription-${id}` as const;

const SUBSCRIPTION_ID = /^[A-Za-z0-9_-]{1,64}$/;

export const isSubscriptionId = (value: unknown): value is SubscriptionId =>
  typeof value === 'string' && SUBSCRIPTION_ID.test(value);

export interface SubscriptionRegistered {
  type: 'SubscriptionRegistered';
  data: {
    subscriptionId: SubscriptionId;
    workspaceId: WorkspaceId;
    endpointUri: EndpointUri;
    serviceName: string;
    registeredAt: Instant;
  };
}
export interface SubscriptionEnded {
  type: 'SubscriptionEnded';
  data: { subscriptionId: SubscriptionId; reason: string; endedAt: Instant };
}
export type SubscriptionEvent = SubscriptionRegistered | SubscriptionEnded;

/** What a registration said, for ever. */
export interface RegisteredSubscription {
  readonly subscriptionId: SubscriptionId;
  readonly workspaceId: WorkspaceId;
  readonly endpointUri: EndpointUri;
  readonly serviceName: string;
  readonly registeredAt: Instant;
}
export type SubscriptionState =
  | { readonly status: 'UNREGISTERED' }
  | ({ readonly status: 'LIVE' } & RegisteredSubscription)
  | ({ readonly status: 'ENDED'; readonly endedAt: Instant; readonly reason: string } & RegisteredSubscription);

const evolve = (state: SubscriptionState, event: SubscriptionEvent): SubscriptionState => {
  if (event.type === 'SubscriptionRegistered' && state.status === 'UNREGISTERED') {
    return { status: 'LIVE', ...event.data };
  }
  if (event.type === 'SubscriptionEnded' && state.status === 'LIVE') {
    return { ...state, status: 'ENDED', endedAt: event.data.endedAt, reason: event.data.reason };
  }
  throw new Error(`${event.type} in the stream of a subscription that is ${state.status}`);
};

export interface RegisterSubscription {
  type: 'RegisterSubscription';
  subscriptionId: SubscriptionId;
  workspaceId: WorkspaceId;
  endpointUri: string;
  serviceName: string;
  at: Instant;
}
export interface EndSubscription {
  type: 'EndSubscription';
  workspaceId: WorkspaceId;
  reason: string;
  at: Instant;
}
export type SubscriptionCommand = RegisterSubscription | EndSubscription;

const register = (state: SubscriptionState, command: RegisterSubscription): SubscriptionEvent[] => {
  const { subscriptionId, workspaceId, at } = command;
  if (!isSubscriptionId(subscriptionId)) {
    throw new DomainError('invalid_subscription_id', 'subscriptionId must match [A-Za-z0-9_-]{1,64}', 'subscriptionId');
  }
  const endpointUri = validEndpointUri(command.endpointUri);
  const serviceName = trimmedText(command.serviceName, 100, 'invalid_service_name', 'serviceName');
  if (state.status === 'UNREGISTERED') {
    return [
      {
        type: 'SubscriptionRegistered',
        data: { subscriptionId, workspaceId, endpointUri, serviceName, registeredAt: at },
      },
    ];
  }
  if (state.workspaceId !== workspaceId) throw subscriptionNotFound();
  if (state.status === 'ENDED') throw new DomainError('subscription_exists', 'This subscription has ended');
  if (state.endpointUri !== endpointUri || state.serviceName !== serviceName) {
    throw new DomainError('subscription_exists', 'This subscription is registered with other values');
  }
  return [];
};

const end = (state: SubscriptionState, command: EndSubscription): SubscriptionEvent[] => {
  if (state.status === 'UNREGISTERED' || state.workspaceId !== command.workspaceId) throw subscriptionNotFound();
  if (state.status === 'ENDED') return [];
  const reason = trimmedText(command.reason, 500, 'invalid_reason', 'reason');
  return [{ type: 'SubscriptionEnded', data: { subscriptionId: state.subscriptionId, reason, endedAt: command.at } }];
};

export const subscriptionNotFound = () => new DomainError('subscription_not_found', 'No such subscription');

const decide = (state: SubscriptionState, command: SubscriptionCommand): SubscriptionEvent[] => {
  switch (command.type) {
    case 'RegisterSubscription':
      return register(state, command);
    case 'EndSubscription':
      return end(state, command);
  }
};

export const subscription: Decider<SubscriptionState, SubscriptionCommand, SubscriptionEvent> = {
  initial: { status: 'UNREGISTERED' },
  evolve,
  decide,
};
