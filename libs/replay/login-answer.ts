import { type ActiveClient, goodCredentials, type Instant, type SubscriptionId, type SubscriptionState } from '#domain';

/**
 * Why a login would have been answered with a token (`OK`) or refused:
 *
 * - `REVOKED`: the client was revoked.
 * - `EXPIRED`: the generation of the secret was not good any more; of a client: none of its generations was.
 * - `NOT_ASSIGNED`: the client was not assigned to the endpoint, or nobody had registered the endpoint.
 * - `ENDED`: the subscription of the endpoint had ended.
 * - `QUARANTINED`: an operator had quarantined the client, the subscription or the endpoint URI.
 * - `UNREADABLE`: nobody can tell, because the history of the subscription can't be read.
 */
export type LoginReason = 'OK' | 'REVOKED' | 'EXPIRED' | 'NOT_ASSIGNED' | 'ENDED' | 'QUARANTINED' | 'UNREADABLE';

/** What a login with a right secret would have been answered. */
export interface LoginAnswer {
  /** `null`: nobody can tell. */
  readonly yes: boolean | null;
  readonly reason: LoginReason;
}

export const loginAnswer = (reason: LoginReason): LoginAnswer => ({
  yes: reason === 'UNREADABLE' ? null : reason === 'OK',
  reason,
});

/** The facts about a client on which logins depend. `client` is `undefined` after the client's revocation. */
export interface LoginFacts {
  readonly client: ActiveClient | undefined;
  readonly isQuarantined: boolean;
}

/**
 * Returns the answer to a login with a good secret of the client at `at`, at no particular endpoint. `generation`: the
 * secret is of this generation. Follows the same rules as a login itself.
 */
export function loginOf({ client, isQuarantined }: LoginFacts, at: Instant, generation?: number): LoginAnswer {
  if (isQuarantined) return loginAnswer('QUARANTINED');
  if (client === undefined) return loginAnswer('REVOKED');
  const good = goodCredentials(client, at);
  const isGood = generation === undefined ? good.length > 0 : good.some((each) => each.generation === generation);
  return loginAnswer(isGood ? 'OK' : 'EXPIRED');
}

/** The facts about an endpoint on which logins depend. `subscription`: the subscription that owns the endpoint. */
export interface EndpointFacts {
  readonly subscriptionId: SubscriptionId;
  readonly subscription: SubscriptionState;
  readonly isQuarantined: boolean;
}

/** Returns the answer to a login with a good secret of the client at `at`, at the endpoint of a subscription. */
export function loginAtEndpoint(facts: LoginFacts, endpoint: EndpointFacts, at: Instant): LoginAnswer {
  const login = loginOf(facts, at);
  if (login.yes !== true) return login;
  if (endpoint.isQuarantined) return loginAnswer('QUARANTINED');
  if (endpoint.subscription.status === 'ENDED') return loginAnswer('ENDED');
  const isAssigned = facts.client?.subscriptions.has(endpoint.subscriptionId) === true;
  return loginAnswer(isAssigned && endpoint.subscription.status === 'LIVE' ? 'OK' : 'NOT_ASSIGNED');
}
