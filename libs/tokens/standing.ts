import {
  type ActiveClient,
  type Assignment,
  type ConsumerClientState,
  hasTokenRevocations,
  type Instant,
  isGoodGeneration,
  isTokenRevoked,
  MAX_CLOCK_SKEW_SECONDS,
  millisecondsOf,
  type SigningKeysState,
  type SubscriptionId,
  type SubscriptionState,
  usableStaticToken,
} from '#domain';
import { type AccessTokenClaims, audienceOf, familyOf, instantOf, type RefreshFamily } from './access-token.js';
import type { VerifiedToken } from './token-verifier.js';

/**
 * Why a token is refused. The reason is for logs, metrics and gateways only. The bearer of the token never learns the
 * reason.
 */
export type TokenRefusal =
  | 'NOT_A_TOKEN'
  | 'EXPIRED'
  | 'NOT_YET_VALID'
  | 'SIGNING_KEY_COMPROMISED'
  | 'CLIENT_NOT_ACTIVE'
  | 'GENERATION_ENDED'
  | 'OTHER_ISSUER'
  | 'OTHER_AUDIENCE'
  | 'TOKEN_REVOKED'
  | 'OTHER_SUBSCRIPTION'
  | 'SUBSCRIPTION_NOT_LIVE'
  | 'NOT_ASSIGNED';

/**
 * The verdict on a token. A valid token comes with its client and assignment. A refused token comes with the reason.
 */
export type Standing =
  | {
      readonly active: true;
      readonly claims: AccessTokenClaims;
      readonly client: ActiveClient;
      /**
       * The client's assignment to the subscription for which the token is used. Absent if the token is not used for a
       * particular subscription.
       */
      readonly assignment: Assignment | undefined;
    }
  | { readonly active: false; readonly refusal: TokenRefusal };

/**
 * The states on which the verdict depends. Most callers get these states by strong reads, which are never outdated. The
 * gateway check takes the states from its directory in memory if possible.
 */
export interface DecidingStates {
  readonly client: ConsumerClientState;
  /**
   * The subscription for which the token is used. In a gateway check, this is the subscription of the called endpoint.
   * Elsewhere, this is the subscription that the token names.
   */
  readonly subscription: SubscriptionState | undefined;
  readonly keys: SigningKeysState;
}

/**
 * Judges a token whose signature has been verified. This is a pure function. `issuer` is `PUBLIC_URL` without a slash
 * at its end.
 */
export function standingOf(
  { kid, claims }: VerifiedToken,
  { client, subscription, keys }: DecidingStates,
  { issuer, at }: { readonly issuer: string; readonly at: Instant },
): Standing {
  const refused = (refusal: TokenRefusal): Standing => ({ active: false, refusal });
  const now = millisecondsOf(at) / 1000;
  if (now >= claims.exp) return refused('EXPIRED');
  if (Math.max(claims.iat, claims.nbf ?? 0) > now + MAX_CLOCK_SKEW_SECONDS) return refused('NOT_YET_VALID');
  if (isCompromised(keys, kid)) return refused('SIGNING_KEY_COMPROMISED');
  if (client.status !== 'ACTIVE' || client.clientId !== claims.sub) return refused('CLIENT_NOT_ACTIVE');
  if (!isGoodGeneration(client, claims.generation, at)) return refused('GENERATION_ENDED');
  const ownRefusal =
    client.authenticationType === 'API_KEY'
      ? staticTokenRefusal(client, kid, claims, at)
      : accessTokenRefusal(client, claims, issuer);
  const refusal = ownRefusal ?? subscriptionRefusal(client, claims.subscription_id, subscription);
  if (refusal) return refused(refusal);
  const assignment = assignmentTo(client, subscription);
  // Only the tokens of OAUTH2 clients must have the audience that a new token would get now. A static token keeps the
  // audience that it got when it was issued, even if `PUBLIC_URL` has changed since then.
  const endpointUri = claims.subscription_id === undefined ? undefined : assignment?.endpointUri;
  if (client.authenticationType === 'OAUTH2' && claims.aud !== audienceOf(issuer, endpointUri)) {
    return refused('OTHER_AUDIENCE');
  }
  return { active: true, claims, client, assignment };
}

/** Whether tokens with this `kid` are refused because of their key. An unknown key counts as compromised. */
export const isCompromised = ({ keys }: SigningKeysState, kid: string): boolean =>
  !keys.some((key) => key.kid === kid && key.status !== 'COMPROMISED');

/**
 * Refuses a static token unless it is one of the client's. The client's state holds header and claims of its static
 * tokens completely, so an equal `jti` and `kid` prove that the token is the same.
 */
const staticTokenRefusal = (
  client: ActiveClient,
  kid: string,
  { generation, subscription_id, jti }: AccessTokenClaims,
  at: Instant,
): TokenRefusal | undefined => {
  const period = usableStaticToken(client.tokens, jti, at);
  const isSame = period?.kid === kid && period.generation === generation && period.subscriptionId === subscription_id;
  return isSame ? undefined : 'TOKEN_REVOKED';
};

const accessTokenRefusal = (
  client: ActiveClient,
  claims: AccessTokenClaims,
  issuer: string,
): TokenRefusal | undefined => {
  const { iss, jti, iat, token_epoch: epoch } = claims;
  if (iss !== issuer) return 'OTHER_ISSUER';
  if (!hasTokenRevocations(client.tokens)) return undefined;
  if (isTokenRevoked(client.tokens, { kind: 'ACCESS_TOKEN', tokenId: jti, issuedAt: instantOf(iat), epoch }))
    return 'TOKEN_REVOKED';
  const family = familyOf(claims);
  return family && isFamilyRevoked(client, family, epoch) ? 'TOKEN_REVOKED' : undefined;
};

/**
 * Whether a token is refused because its refresh family (all tokens that descend from one login) was revoked. `epoch` is
 * the token's own epoch, which may be later than the epoch of the family's first login: the token was issued by a
 * refresh, so the family was good in that epoch.
 */
export const isFamilyRevoked = (
  client: ActiveClient,
  { id, startedAt }: RefreshFamily,
  epoch: number | undefined,
): boolean =>
  hasTokenRevocations(client.tokens) &&
  isTokenRevoked(client.tokens, { kind: 'REFRESH_FAMILY', tokenId: id, issuedAt: instantOf(startedAt), epoch });

const subscriptionRefusal = (
  client: ActiveClient,
  named: SubscriptionId | undefined,
  subscription: SubscriptionState | undefined,
): TokenRefusal | undefined => {
  if (subscription === undefined && named === undefined) return undefined;
  if (subscription?.status !== 'LIVE') return 'SUBSCRIPTION_NOT_LIVE';
  if (named !== undefined && named !== subscription.subscriptionId) return 'OTHER_SUBSCRIPTION';
  return client.subscriptions.has(subscription.subscriptionId) ? undefined : 'NOT_ASSIGNED';
};

const assignmentTo = (client: ActiveClient, subscription: SubscriptionState | undefined): Assignment | undefined =>
  subscription?.status === 'LIVE' ? client.subscriptions.get(subscription.subscriptionId) : undefined;
