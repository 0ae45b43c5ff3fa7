import { type Instant, millisecondsOf, type StaticTokenPeriod } from '#domain';
import {
  type AccessToken,
  accessTokenClaims,
  accessTokenHeader,
  lifetimeWithin,
  type TokenGrant,
} from './access-token.js';
import { signCompact, type TokenSigner } from './jwt-signing.js';

/** Lifetime of a static token in seconds: one year. */
export const STATIC_TOKEN_SECONDS = 31_536_000;

/**
 * Returns the record that the command `IssueStaticToken` stores: the time of the token's validity, and all of the
 * token's data except the signature. `expiresAt` equals the token's `exp`: a year after `issuedAt`, rounded down to a
 * whole second, or the end of the credential if that is earlier (`lifetimeWithin`). The token keeps this `exp`, even if
 * a rotation ends the credential earlier: its bytes stay the same.
 */
export function staticTokenPeriod(
  grant: TokenGrant,
  signer: Pick<TokenSigner, 'kid' | 'alg'>,
  { issuedAt, jti }: { issuedAt: Instant; jti: string },
): StaticTokenPeriod {
  const { credentialExpiresAt } = grant;
  const lifetimeSeconds =
    credentialExpiresAt === undefined
      ? STATIC_TOKEN_SECONDS
      : lifetimeWithin(STATIC_TOKEN_SECONDS, credentialExpiresAt, issuedAt);
  const claims = accessTokenClaims(grant, { issuedAt, lifetimeSeconds, jti });
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

/**
 * Static tokens that were signed before. The map's key is the token's record. Signing again would give the same bytes,
 * but would take time.
 */
const signed = new WeakMap<StaticTokenPeriod, { readonly signer: TokenSigner; readonly token: string }>();

/**
 * Signs a static token from its record, which holds all of the token except the signature. The token has the same bytes
 * each time, even if the configuration or the signing key has changed since then. `signer` must be the key that the
 * record names (`SigningKeyRing.signerOf`). Throws `TokenTooLarge`. Throws `Error` if `signer` is another key.
 */
export function signStaticToken(period: StaticTokenPeriod, signer: TokenSigner, at: Instant): AccessToken {
  const expiresIn = Math.ceil((Date.parse(period.expiresAt) - millisecondsOf(at)) / 1000);
  const known = signed.get(period);
  const token = known?.signer === signer ? known.token : signCompact(period.header, period.claims, signer);
  if (token !== known?.token) signed.set(period, { signer, token });
  return { token, jti: period.jti, expiresIn };
}
