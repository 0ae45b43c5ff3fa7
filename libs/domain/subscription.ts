import type { Aggregate, DataOf } from './aggregate.js';
import { DomainError } from './domain-error.js';
import { type EndpointUri, validEndpointUri } from './endpoint-uri.js';
import type { Instant } from './instant.js';
import { trimmedText } from './text.js';
import type { WorkspaceId } from './workspace.js';

/** The portal chooses this id: `[A-Za-z0-9_-]{1,64}`. */
export type SubscriptionId = string;

/** Stream `subscription-<id>`: one consumer's right to call one service. */
const stream = (id: SubscriptionId) => `subscription-${id}`;

export const SUBSCRIPTION_ID = /^[A-Za-z0-9_-]{1,64}$/;

export const isSubscriptionId = (value: unknown): value is SubscriptionId =>
  typeof value === 'string' && SUBSCRIPTION_ID.test(value);

export type SubscriptionEvent =
  | {
      type: 'SubscriptionRegistered';
      data: {
        subscriptionId: SubscriptionId;
        workspaceId: WorkspaceId;
        endpointUri: EndpointUri;
        serviceName: string;
        registeredAt: Instant;
      };
    }
  | { type: 'SubscriptionEnded'; data: { subscriptionId: SubscriptionId; reason: string; endedAt: Instant } };

type Registration = Readonly<DataOf<SubscriptionEvent, 'SubscriptionRegistered'>>;
type RegisteredSubscription =
  | ({ readonly status: 'LIVE' } & Registration)
  | ({ readonly status: 'ENDED'; readonly endedAt: Instant; readonly reason: string } & Registration);
export type SubscriptionState = { readonly status: 'UNREGISTERED' } | RegisteredSubscription;

const initial: SubscriptionState = { status: 'UNREGISTERED' };

const evolve = (state: SubscriptionState, event: SubscriptionEvent): SubscriptionState => {
  if (event.type === 'SubscriptionRegistered' && state.status === 'UNREGISTERED') {
    return { status: 'LIVE', ...event.data };
  }
  if (event.type === 'SubscriptionEnded' && state.status === 'LIVE') {
    return { ...state, status: 'ENDED', endedAt: event.data.endedAt, reason: event.data.reason };
  }
  throw new Error(`${event.type} in the stream of a subscription that is ${state.status}`);
};

interface RegisterSubscription {
  type: 'RegisterSubscription';
  subscriptionId: SubscriptionId;
  workspaceId: WorkspaceId;
  endpointUri: string;
  serviceName: string;
  at: Instant;
}
interface EndSubscription {
  type: 'EndSubscription';
  workspaceId: WorkspaceId;
  reason: string;
  at: Instant;
}
export type SubscriptionCommand = RegisterSubscription | EndSubscription;

const decide = (state: SubscriptionState, command: SubscriptionCommand): SubscriptionEvent[] => {
  if (command.type === 'RegisterSubscription') return register(state, command);
  if (state.status === 'UNREGISTERED' || state.workspaceId !== command.workspaceId) throw subscriptionNotFound();
  return end(state, command);
};

const register = (state: SubscriptionState, command: RegisterSubscription): SubscriptionEvent[] => {
  const { subscriptionId, workspaceId, at } = command;
  if (!isSubscriptionId(subscriptionId)) {
    throw new DomainError(
      'invalid',
      'invalid_subscription_id',
      'subscriptionId must match [A-Za-z0-9_-]{1,64}',
      'subscriptionId',
    );
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
  if (state.status === 'ENDED') throw new DomainError('conflict', 'subscription_exists', 'This subscription has ended');
  if (state.endpointUri !== endpointUri || state.serviceName !== serviceName) {
    throw new DomainError('conflict', 'subscription_exists', 'This subscription is registered with other values');
  }
  return [];
};

const end = (state: RegisteredSubscription, command: EndSubscription): SubscriptionEvent[] => {
  if (state.status === 'ENDED') return [];
  const reason = trimmedText(command.reason, 500, 'invalid_reason', 'reason');
  return [{ type: 'SubscriptionEnded', data: { subscriptionId: state.subscriptionId, reason, endedAt: command.at } }];
};

export const subscriptionNotFound = (field?: string) =>
  new DomainError('not_found', 'subscription_not_found', 'No such subscription', field);

export const subscription: Aggregate<SubscriptionId, SubscriptionState, SubscriptionCommand, SubscriptionEvent> = {
  stream,
  initial,
  evolve,
  stateVersion: 1,
  decide,
};
