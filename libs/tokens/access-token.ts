import { type ClientId, type EndpointUri, type Instant, millisecondsOf, type SubscriptionId } from '#domain';
import { canonicalJson } from '#events';
import { encoded, signEncoded, type TokenSigner } from './jwt-signing.js';

/** Lifetime of an OAUTH2 client's access token, in seconds. */
const ACCESS_TOKEN_SECONDS = 300;

/** To whom a token is issued, and for what the token may be used. */
export interface TokenGrant {
  /** `PUBLIC_URL` without a slash at its end. */
  readonly issuer: string;
  readonly clientId: ClientId;
  /** The generation (number) of the credential with which the client logged in. */
  readonly generation: number;
  /**
   * When this generation stops being good, as far as is known at the issue: at its own expiry, or at the end of its
   * overlap. The token expires no later, since a gateway that verifies tokens by the JWKS alone learns nothing else.
   */
  readonly credentialExpiresAt?: Instant | undefined;
  /**
   * The endpoint for which the token is issued. If absent, the token comes from the plain `/login`, and is valid for
   * every subscription to which the client is assigned.
   */
  readonly endpoint?: { readonly subscriptionId: SubscriptionId; readonly endpointUri: EndpointUri };
  /** Absent in static tokens, which can't be refreshed. */
  readonly family?: RefreshFamily;
  /** The client's token epoch (`TokenLedger`). Absent in static tokens. */
  readonly tokenEpoch?: number;
}

/**
 * Identifies a refresh family: all tokens that descend from one `client_credentials` login. The tokens of a family are
 * revoked together. No token lives longer than its family.
 */
export interface RefreshFamily {
  readonly id: string;
  /** The time of the family's first login, in seconds since 1970. */
  readonly startedAt: number;
}

/** Lifetime of a refresh family (all tokens that descend from one login), in seconds. */
export const FAMILY_SECONDS = 86_400;

/** The time after which no token of the family is valid any more, in seconds since 1970. */
export const familyEnd = ({ startedAt }: RefreshFamily): number => startedAt + FAMILY_SECONDS;

/** The claims of RFC 9068 §2.2, and five claims of our own. All times are in seconds since 1970. */
export interface AccessTokenClaims extends Record<string, unknown> {
  readonly iss: string;
  readonly sub: ClientId;
  readonly client_id: ClientId;
  readonly aud: string;
  readonly iat: number;
  /** We issue no tokens with `nbf`. If a token contains `nbf`, the claim is checked. */
  readonly nbf?: number;
  readonly exp: number;
  readonly jti: string;
  readonly generation: number;
  readonly subscription_id?: SubscriptionId;
  readonly family_id?: string;
  /** The start of the refresh family (all tokens that descend from one login). */
  readonly family_iat?: number;
  /** The client's token epoch (`TokenLedger`). Tokens that an older version of this software issued lack the claim. */
  readonly token_epoch?: number;
}

export interface AccessToken {
  readonly token: string;
  readonly jti: string;
  /** Remaining lifetime in seconds. */
  readonly expiresIn: number;
}

/**
 * The `aud` claim. Tokens of `/{endpointUri}/login` name their endpoint, and tokens of the plain `/login` name
 * `gateway`. No endpoint URI can be `gateway`.
 */
export const audienceOf = (issuer: string, endpointUri: EndpointUri | undefined): string =>
  `${issuer}/${endpointUri ?? 'gateway'}`;

/** The `typ` of our access tokens. A JWT with any other `typ` is refused (RFC 9068 §2.1). */
export const ACCESS_TOKEN_TYPE = 'at+jwt';

/** The JWS header of our access tokens, static tokens included. */
export const accessTokenHeader = ({ kid, alg }: Pick<TokenSigner, 'kid' | 'alg'>) => ({
  alg,
  kid,
  typ: ACCESS_TOKEN_TYPE,
});

/** The refresh family (all tokens that descend from one login) of an access token; `undefined` for a static token. */
export const familyOf = ({ family_id: id, family_iat: startedAt }: AccessTokenClaims): RefreshFamily | undefined =>
  id === undefined || startedAt === undefined ? undefined : { id, startedAt };

/** The names of the claims are in the order of RFC 8785, so `JSON.stringify` writes the claims in their canonical form. */
export function accessTokenClaims(
  { issuer, clientId, generation, endpoint, family, tokenEpoch }: TokenGrant,
  { issuedAt, lifetimeSeconds, jti }: { issuedAt: Instant; lifetimeSeconds: number; jti: string },
): AccessTokenClaims {
  const iat = epochSeconds(issuedAt);
  return {
    aud: audienceOf(issuer, endpoint?.endpointUri),
    client_id: clientId,
    exp: iat + lifetimeSeconds,
    ...(family && { family_iat: family.startedAt, family_id: family.id }),
    generation,
    iat,
    iss: issuer,
    jti,
    sub: clientId,
    ...(endpoint && { subscription_id: endpoint.subscriptionId }),
    ...(tokenEpoch !== undefined && { token_epoch: tokenEpoch }),
  };
}

/** Converts a time to whole seconds since 1970, rounded down. JWTs use this format (RFC 7519 §2). */
export const epochSeconds = (at: Instant): number => Math.floor(millisecondsOf(at) / 1000);

export const instantOf = (seconds: number): Instant => new Date(seconds * 1000).toISOString();

/**
 * Returns the lifetime in seconds of a token that would live for `longest` seconds, if its credential expires at
 * `credentialExpiresAt`. The end is rounded down to a whole second, but the lifetime is at least 1 s: a login in the
 * credential's last second gets a token that is not yet expired.
 */
export const lifetimeWithin = (longest: number, credentialExpiresAt: Instant, issuedAt: Instant): number =>
  Math.min(longest, Math.max(1, epochSeconds(credentialExpiresAt) - epochSeconds(issuedAt)));

/**
 * Issues an access token to an OAUTH2 client. The token expires no later than its refresh family and its credential
 * (`lifetimeWithin`). Throws `TokenTooLarge`.
 */
export function issueAccessToken(
  signer: TokenSigner,
  grant: TokenGrant,
  { issuedAt, jti }: { issuedAt: Instant; jti: string },
): AccessToken {
  const familyLeft = grant.family ? familyEnd(grant.family) - epochSeconds(issuedAt) : ACCESS_TOKEN_SECONDS;
  const longest = Math.min(ACCESS_TOKEN_SECONDS, familyLeft);
  const { credentialExpiresAt } = grant;
  const expiresIn =
    credentialExpiresAt === undefined ? longest : lifetimeWithin(longest, credentialExpiresAt, issuedAt);
  const claims = accessTokenClaims(grant, { issuedAt, lifetimeSeconds: expiresIn, jti });
  return { token: signEncoded(encodedHeader(signer), encoded(JSON.stringify(claims)), signer), jti, expiresIn };
}

const encodedHeaders = new WeakMap<TokenSigner, string>();

/** The header is the same in all tokens of a signer, so it is encoded once. */
function encodedHeader(signer: TokenSigner): string {
  const known = encodedHeaders.get(signer);
  if (known !== undefined) return known;
  const header = encoded(canonicalJson(accessTokenHeader(signer)));
  encodedHeaders.set(signer, header);
  return header;
}
