import type { Instant, StaticTokenPeriod } from '#domain';
import { type AccessToken, type TokenGrant, accessTokenClaims, accessTokenHeader } from './access-token.js';
import { type TokenSigner, signCompact } from './jwt-signing.js';

/** A static token's year. */
export const STATIC_TOKEN_SECONDS = 31_536_000;

/**
 * What `IssueStaticToken` records: the whole token but for its signature. The period ends with the token's `exp`, which
 * counts whole seconds from the one that `issuedAt` lies in.
 */
export function staticTokenPeriod(
  grant: TokenGrant,
  signer: Pick<TokenSigner, 'kid' | 'alg'>,
  { issuedAt, jti }: { issuedAt: Instant; jti: string },
): StaticTokenPeriod {
  const claims = accessTokenClaims(grant, { issuedAt, lifetimeSeconds: STATIC_TOKEN_SECONDS, jti });
  return {
    generation: grant.generation,
    ...(grant.endpoint && { subscriptionId: grant.endpoint.subscriptionId }),
    jti,
    kid: signer.kid,
    issuedAt,
    expiresAt: new Date(claims.exp * 1000).toISOString(),
    header: accessTokenHeader(signer),
    claims,
  };
}

/** Signed once for as long as its period is in memory; to sign it again would give the same bytes. */
const signed = new WeakMap<StaticTokenPeriod, { readonly signer: TokenSigner; readonly token: string }>();

/**
 * The token of a recorded period: the same bytes each time, whatever was configured or rotated since. `signer` is the
 * key that the period names (`SigningKeyRing.signerOf`). Throws `TokenTooLarge`, and `Error` for another key.
 */
export function signStaticToken(period: StaticTokenPeriod, signer: TokenSigner, at: Instant): AccessToken {
  const expiresIn = Math.ceil((Date.parse(period.expiresAt) - Date.parse(at)) / 1000);
  const known = signed.get(period);
  const token = known?.signer === signer ? known.token : signCompact(period.header, period.claims, signer);
  if (token !== known?.token) signed.set(period, { signer, token });
  return { token, jti: period.jti, expiresIn };
}
