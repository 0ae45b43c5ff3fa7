import type { ClientId, EndpointUri, Instant, SubscriptionId } from '#domain';
import { type TokenSigner, signCompact } from './jwt-signing.js';

/** How long an OAUTH2 client's access token is good. */
export const ACCESS_TOKEN_SECONDS = 300;

/** Whom a token is for, and what it may be used for. */
export interface TokenGrant {
  /** `PUBLIC_URL` without a slash at its end. */
  readonly issuer: string;
  readonly clientId: ClientId;
  /** The credential's generation that logged in. */
  readonly generation: number;
  /** Absent: the token of the plain `/login`, good for every subscription that the client is assigned to. */
  readonly endpoint?: { readonly subscriptionId: SubscriptionId; readonly endpointUri: EndpointUri };
  /** Absent in static tokens, which nothing refreshes. */
  readonly family?: RefreshFamily;
}

/** One client_credentials login with all that it led to by refreshing; it is revoked, and ends, as a whole. */
export interface RefreshFamily {
  readonly id: string;
  /** Seconds since 1970. */
  readonly startedAt: number;
}

/** How long a family may go on from its start. */
export const FAMILY_SECONDS = 86_400;

/** When the last token of the family ends, in seconds since 1970. */
export const familyEnd = ({ startedAt }: RefreshFamily): number => startedAt + FAMILY_SECONDS;

/** RFC 9068 §2.2, and four of our own. Times are in seconds since 1970. */
export interface AccessTokenClaims extends Record<string, unknown> {
  readonly iss: string;
  readonly sub: ClientId;
  readonly client_id: ClientId;
  readonly aud: string;
  readonly iat: number;
  /** Never in tokens of this version; honoured where it is. */
  readonly nbf?: number;
  readonly exp: number;
  readonly jti: string;
  readonly generation: number;
  readonly subscription_id?: SubscriptionId;
  readonly family_id?: string;
  /** The family's start: where one instant stands for a thousand revocations, it decides for its access tokens too. */
  readonly family_iat?: number;
}

export interface AccessToken {
  readonly token: string;
  readonly jti: string;
  /** Seconds. */
  readonly expiresIn: number;
}

/** `aud` of the tokens of `/{endpointUri}/login`, or without one of the plain `/login` (`gateway` is no slug). */
export const audienceOf = (issuer: string, endpointUri: EndpointUri | undefined): string =>
  `${issuer}/${endpointUri ?? 'gateway'}`;

/** Keeps other JWTs from being taken for a token for gateways (RFC 9068 §2.1). */
export const ACCESS_TOKEN_TYPE = 'at+jwt';

/** The header of every token for gateways. */
export const accessTokenHeader = ({ kid, alg }: Pick<TokenSigner, 'kid' | 'alg'>) => ({
  alg,
  kid,
  typ: ACCESS_TOKEN_TYPE,
});

/** The refresh family that an access token is of; static tokens are of none. */
export const familyOf = ({ family_id: id, family_iat: startedAt }: AccessTokenClaims): RefreshFamily | undefined =>
  id === undefined || startedAt === undefined ? undefined : { id, startedAt };

export function accessTokenClaims(
  { issuer, clientId, generation, endpoint, family }: TokenGrant,
  { issuedAt, lifetimeSeconds, jti }: { issuedAt: Instant; lifetimeSeconds: number; jti: string },
): AccessTokenClaims {
  const iat = epochSeconds(issuedAt);
  return {
    iss: issuer,
    sub: clientId,
    client_id: clientId,
    aud: audienceOf(issuer, endpoint?.endpointUri),
    iat,
    exp: iat + lifetimeSeconds,
    jti,
    generation,
    ...(endpoint && { subscription_id: endpoint.subscriptionId }),
    ...(family && { family_id: family.id, family_iat: family.startedAt }),
  };
}

/** The whole seconds since 1970 that `at` lies in, as JWTs count them (RFC 7519 §2). */
export const epochSeconds = (at: Instant): number => Math.floor(Date.parse(at) / 1000);

export const instantOf = (seconds: number): Instant => new Date(seconds * 1000).toISOString();

/** A new access token of an OAUTH2 client; it never outlives its family. Throws `TokenTooLarge`. */
export function issueAccessToken(
  signer: TokenSigner,
  grant: TokenGrant,
  { issuedAt, jti }: { issuedAt: Instant; jti: string },
): AccessToken {
  const familyLeft = grant.family ? familyEnd(grant.family) - epochSeconds(issuedAt) : ACCESS_TOKEN_SECONDS;
  const expiresIn = Math.min(ACCESS_TOKEN_SECONDS, familyLeft);
  const claims = accessTokenClaims(grant, { issuedAt, lifetimeSeconds: expiresIn, jti });
  return { token: signCompact(accessTokenHeader(signer), claims, signer), jti, expiresIn };
}
