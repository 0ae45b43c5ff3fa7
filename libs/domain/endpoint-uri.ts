import type { Aggregate } from './aggregate.js';
import { DomainError } from './domain-error.js';
import { type Instant, secondsAfter } from './instant.js';
import type { WorkspaceId } from './workspace.js';

/** The slug by which calls and logins name a subscription's service: `[a-z0-9][a-z0-9-]{2,62}`. */
export type EndpointUri = string;

/**
 * Stream `endpointUri-<slug>`: says which subscription owns the slug. A login reads this stream first, then the
 * subscription's stream.
 */
const stream = (uri: EndpointUri) => `endpointUri-${uri}`;

const SLUG = /^[a-z0-9][a-z0-9-]{2,62}$/;

/**
 * The first segments of the service's own paths, and further segments that its contract reserves. No endpoint may have
 * such a name.
 */
const RESERVED: ReadonlySet<string> = new Set([
  'admin', 'api', 'assets', 'authorize', 'docs', 'favicon', 'gateway', 'health', 'introspect', 'jwks', 'login',
  'logout', 'metrics', 'oauth', 'openapi', 'portal', 'revoke', 'static', 'token', 'well-known',
]); // prettier-ignore

/** Whether `value` has the form of a slug. Reserved slugs have this form, too. */
export const isEndpointUri = (value: string): value is EndpointUri => SLUG.test(value);

/** Returns `raw` if `raw` may name an endpoint. Otherwise throws `DomainError` with code `invalid_endpoint_uri`. */
export function validEndpointUri(raw: string): EndpointUri {
  if (!isEndpointUri(raw)) {
    throw new DomainError(
      'invalid',
      'invalid_endpoint_uri',
      'endpointUri must match [a-z0-9][a-z0-9-]{2,62}',
      'endpointUri',
    );
  }
  if (RESERVED.has(raw)) {
    throw new DomainError(
      'invalid',
      'invalid_endpoint_uri',
      'endpointUri is a path of the service itself',
      'endpointUri',
    );
  }
  return raw;
}

export interface EndpointUriEvent {
  type: 'EndpointUriClaimed';
  data: {
    endpointUri: EndpointUri;
    workspaceId: WorkspaceId;
    subscriptionId: string;
    commandId: string;
    claimedAt: Instant;
  };
}

type EndpointUriState =
  | { readonly status: 'FREE' }
  | {
      readonly status: 'CLAIMED';
      readonly workspaceId: WorkspaceId;
      readonly subscriptionId: string;
      readonly claimedAt: Instant;
    };

const initial: EndpointUriState = { status: 'FREE' };

const evolve = (_state: EndpointUriState, event: EndpointUriEvent): EndpointUriState => ({
  status: 'CLAIMED',
  workspaceId: event.data.workspaceId,
  subscriptionId: event.data.subscriptionId,
  claimedAt: event.data.claimedAt,
});

/**
 * For this many seconds after a claim, nobody else may claim the slug, even if the subscription of the claim is not
 * registered yet. The registration may be under way.
 */
const CLAIM_SECONDS = 60;
/**
 * After a subscription has claimed a slug, its registration with the slug must follow within this many seconds. A later
 * registration must claim the slug again.
 */
const REGISTRATION_SECONDS = 30;

interface EndpointUriCommand {
  type: 'ClaimEndpointUri';
  endpointUri: string;
  workspaceId: WorkspaceId;
  subscriptionId: string;
  commandId: string;
  /**
   * Whether the subscription that the last claim names is registered with this slug. A subscription that has ended
   * counts, too. The value holds for that claim only: after a later claim, the caller must read the registration again.
   */
  holderIsRegistered: boolean;
  at: Instant;
}

const decide = (state: EndpointUriState, command: EndpointUriCommand): EndpointUriEvent[] => {
  const { workspaceId, subscriptionId, commandId, holderIsRegistered, at } = command;
  const endpointUri = validEndpointUri(command.endpointUri);
  if (state.status === 'CLAIMED') {
    const isOwn = state.workspaceId === workspaceId && state.subscriptionId === subscriptionId;
    if (isOwn && (holderIsRegistered || at < secondsAfter(state.claimedAt, REGISTRATION_SECONDS))) return [];
    if (!isOwn && (holderIsRegistered || at < secondsAfter(state.claimedAt, CLAIM_SECONDS))) {
      throw new DomainError('conflict', 'endpoint_uri_taken', 'This endpoint URI is taken', 'endpointUri');
    }
  }
  return [{ type: 'EndpointUriClaimed', data: { endpointUri, workspaceId, subscriptionId, commandId, claimedAt: at } }];
};

export const endpointUri: Aggregate<EndpointUri, EndpointUriState, EndpointUriCommand, EndpointUriEvent> = {
  stream,
  initial,
  evolve,
  stateVersion: 1,
  decide,
};
