import { type Decider, type Instant, secondsAfter } from './decider.js';
import { DomainError } from './domain-error.js';
import type { WorkspaceId } from './workspace.js';

/** The slug under which a subscription's service is called and logged in to: `[a-z0-9][a-z0-9-]{2,62}`. */
export type EndpointUri = string;

/** Stream `endpointUri-<slug>`: who may use this slug. Login resolves a slug by this stream, then the subscription's. */
export const endpointUriStream = (uri: EndpointUri) => `endpointUri-${uri}` as const;

const SLUG = /^[a-z0-9][a-z0-9-]{2,62}$/;

/** First path segments that the service itself answers, now or by its contract. */
const RESERVED: ReadonlySet<string> = new Set([
  'admin', 'api', 'assets', 'authorize', 'docs', 'favicon', 'gateway', 'health', 'introspect', 'jwks', 'login',
  'logout', 'metrics', 'oauth', 'openapi', 'portal', 'revoke', 'static', 'token', 'well-known',
]); // prettier-ignore

/** Whether it has a slug's form; a reserved one has it, too. */
export const isEndpointUri = (value: string): value is EndpointUri => SLUG.test(value);

/** `raw` itself when it may name an endpoint; throws `invalid_endpoint_uri` otherwise. */
export function validEndpointUri(raw: string): EndpointUri {
  if (!isEndpointUri(raw)) {
    throw new DomainError('invalid_endpoint_uri', 'endpointUri must match [a-z0-9][a-z0-9-]{2,62}', 'endpointUri');
  }
  if (RESERVED.has(raw)) {
    throw new DomainError('invalid_endpoint_uri', 'endpointUri is a path of the service itself', 'endpointUri');
  }
  return raw;
}

export interface EndpointUriClaimed {
  type: 'EndpointUriClaimed';
  data: {
    endpointUri: EndpointUri;
    workspaceId: WorkspaceId;
    subscriptionId: string;
    commandId: string;
    claimedAt: Instant;
  };
}
export type EndpointUriEvent = EndpointUriClaimed;

export type EndpointUriState =
  | { readonly status: 'FREE' }
  | {
      readonly status: 'CLAIMED';
      readonly workspaceId: WorkspaceId;
      readonly subscriptionId: string;
      readonly claimedAt: Instant;
    };

const evolve = (_state: EndpointUriState, event: EndpointUriEvent): EndpointUriState => ({
  status: 'CLAIMED',
  workspaceId: event.data.workspaceId,
  subscriptionId: event.data.subscriptionId,
  claimedAt: event.data.claimedAt,
});

/** How long nobody else may take over a claim whose subscription is not registered: its registration may be under way. */
const CLAIM_SECONDS = 60;
/** How long a claim serves its subscription's registration; later it is claimed anew. */
const REGISTRATION_SECONDS = 30;

export interface ClaimEndpointUri {
  type: 'ClaimEndpointUri';
  endpointUri: string;
  workspaceId: WorkspaceId;
  subscriptionId: string;
  commandId: string;
  /**
   * Whether the subscription that the last claim names is registered with this slug, live or ended. The word is about
   * that claim alone: whoever decides again, on a later claim, asks again.
   */
  holderIsRegistered: boolean;
  at: Instant;
}
export type EndpointUriCommand = ClaimEndpointUri;

const decide = (state: EndpointUriState, command: ClaimEndpointUri): EndpointUriEvent[] => {
  const { workspaceId, subscriptionId, commandId, holderIsRegistered, at } = command;
  const endpointUri = validEndpointUri(command.endpointUri);
  if (state.status === 'CLAIMED') {
    const isOwn = state.workspaceId === workspaceId && state.subscriptionId === subscriptionId;
    if (isOwn && (holderIsRegistered || at < secondsAfter(state.claimedAt, REGISTRATION_SECONDS))) return [];
    if (!isOwn && (holderIsRegistered || at < secondsAfter(state.claimedAt, CLAIM_SECONDS))) {
      throw new DomainError('endpoint_uri_taken', 'This endpoint URI is taken', 'endpointUri');
    }
  }
  return [{ type: 'EndpointUriClaimed', data: { endpointUri, workspaceId, subscriptionId, commandId, claimedAt: at } }];
};

export const endpointUri: Decider<EndpointUriState, EndpointUriCommand, EndpointUriEvent> = {
  initial: { status: 'FREE' },
  evolve,
  decide,
};
