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
}

/** RFC 9068 §2.2, and two of our own. Times are in seconds since 1970. */
export interface AccessTokenClaims extends Record<string, unknown> {
  readonly iss: string;
  readonly sub: ClientId;
  readonly client_id: ClientId;
  readonly aud: string;
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
  readonly generation: number;
  readonly subscription_id?: SubscriptionId;
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

/** The header of every token for gateways: `at+jwt` keeps other JWTs from being taken for one (RFC 9068 §2.1). */
export const accessTokenHeader = ({ kid, alg }: Pick<TokenSigner, 'kid' | 'alg'>) => ({ alg, kid, typ: 'at+jwt' });

export function accessTokenClaims(
  { issuer, clientId, generation, endpoint }: TokenGrant,
  { issuedAt, lifetimeSeconds, jti }: { issuedAt: Instant; lifetimeSeconds: number; jti: string },
): AccessTokenClaims {
  const iat = Math.floor(Date.parse(issuedAt) / 1000);
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
  };
}

/** A new access token of an OAUTH2 client. Throws `TokenTooLarge`. */
export function issueAccessToken(
  signer: TokenSigner,
  grant: TokenGrant,
  { issuedAt, jti }: { issuedAt: Instant; jti: string },
): AccessToken {
  const claims = accessTokenClaims(grant, { issuedAt, lifetimeSeconds: ACCESS_TOKEN_SECONDS, jti });
  return { token: signCompact(accessTokenHeader(signer), claims, signer), jti, expiresIn: ACCESS_TOKEN_SECONDS };
}
