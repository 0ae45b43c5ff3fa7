import {
  MAX_CLOCK_SKEW_SECONDS,
  type ActiveClient,
  type Assignment,
  type ConsumerClientState,
  type Instant,
  type SigningKeysState,
  type SubscriptionId,
  type SubscriptionState,
  currentStaticToken,
  goodCredentials,
  hasTokenRevocations,
  isTokenRevoked,
} from '#domain';
import { type AccessTokenClaims, type RefreshFamily, audienceOf, familyOf, instantOf } from './access-token.js';
import type { VerifiedToken } from './token-verifier.js';

/** Why a token is not good: for logs, metrics and gateways, never for its bearer to learn more than that. */
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

/** What a token is good for now, or why for nothing. */
export type Standing =
  | {
      readonly active: true;
      readonly claims: AccessTokenClaims;
      readonly client: ActiveClient;
      /** Of the subscription that the token is used for; absent where it is used for none in particular. */
      readonly assignment: Assignment | undefined;
    }
  | { readonly active: false; readonly refusal: TokenRefusal };

/** The states that decide: read strongly, or (the gateway's fast check) out of its directory. */
export interface DecidingStates {
  readonly client: ConsumerClientState;
  /** The one that the token is used for: at a gateway the endpoint's, elsewhere the one that the token names, if any. */
  readonly subscription: SubscriptionState | undefined;
  readonly keys: SigningKeysState;
}

/** Judges a verified token: pure. `issuer` is `PUBLIC_URL` without a slash at its end. */
export function standingOf(
  { kid, claims }: VerifiedToken,
  { client, subscription, keys }: DecidingStates,
  { issuer, at }: { readonly issuer: string; readonly at: Instant },
): Standing {
  const refused = (refusal: TokenRefusal): Standing => ({ active: false, refusal });
  const now = Date.parse(at) / 1000;
  if (now >= claims.exp) return refused('EXPIRED');
  if (Math.max(claims.iat, claims.nbf ?? 0) > now + MAX_CLOCK_SKEW_SECONDS) return refused('NOT_YET_VALID');
  if (isCompromised(keys, kid)) return refused('SIGNING_KEY_COMPROMISED');
  if (client.status !== 'ACTIVE' || client.clientId !== claims.sub) return refused('CLIENT_NOT_ACTIVE');
  if (!goodCredentials(client, at).some(({ generation }) => generation === claims.generation)) {
    return refused('GENERATION_ENDED');
  }
  const ownRefusal =
    client.authenticationType === 'API_KEY'
      ? staticTokenRefusal(client, kid, claims, at)
      : accessTokenRefusal(client, claims, issuer);
  const refusal = ownRefusal ?? subscriptionRefusal(client, claims.subscription_id, subscription);
  if (refusal) return refused(refusal);
  const assignment = assignmentTo(client, subscription);
  // A static token's audience is its period's, of the `PUBLIC_URL` of that time.
  const endpointUri = claims.subscription_id === undefined ? undefined : assignment?.endpointUri;
  if (client.authenticationType === 'OAUTH2' && claims.aud !== audienceOf(issuer, endpointUri)) {
    return refused('OTHER_AUDIENCE');
  }
  return { active: true, claims, client, assignment };
}

/** Whether tokens of this key are good no more; a key that the state has never heard of is none of ours. */
export const isCompromised = ({ keys }: SigningKeysState, kid: string): boolean =>
  !keys.some((key) => key.kid === kid && key.status !== 'COMPROMISED');

/** Its period's event holds all its header and claims: with the same `jti` and `kid` it is that very token. */
const staticTokenRefusal = (
  client: ActiveClient,
  kid: string,
  { generation, subscription_id, jti }: AccessTokenClaims,
  at: Instant,
): TokenRefusal | undefined => {
  const period = currentStaticToken(client, generation, subscription_id, at);
  return period?.jti === jti && period.kid === kid ? undefined : 'TOKEN_REVOKED';
};

const accessTokenRefusal = (
  client: ActiveClient,
  claims: AccessTokenClaims,
  issuer: string,
): TokenRefusal | undefined => {
  const { iss, jti, iat } = claims;
  if (iss !== issuer) return 'OTHER_ISSUER';
  if (!hasTokenRevocations(client)) return undefined;
  if (isTokenRevoked(client, { kind: 'ACCESS_TOKEN', tokenId: jti, issuedAt: instantOf(iat) })) return 'TOKEN_REVOKED';
  const family = familyOf(claims);
  return family && isFamilyRevoked(client, family) ? 'TOKEN_REVOKED' : undefined;
};

/** Whether the refresh family was revoked, and with it every access token of its. */
export const isFamilyRevoked = (client: ActiveClient, { id, startedAt }: RefreshFamily): boolean =>
  hasTokenRevocations(client) &&
  isTokenRevoked(client, { kind: 'REFRESH_FAMILY', tokenId: id, issuedAt: instantOf(startedAt) });

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
