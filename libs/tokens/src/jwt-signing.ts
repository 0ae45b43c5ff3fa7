import { type KeyObject, sign } from 'node:crypto';
import type { SigningAlgorithm } from '#domain';
import { canonicalJson } from '#events';

/** A private key that may sign now, and what its tokens' headers say of it. */
export interface TokenSigner {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly privateKey: KeyObject;
}

/** No token is longer, so that it fits wherever gateways and providers keep headers. */
export const MAX_TOKEN_BYTES = 2048;

/** Only a very long `PUBLIC_URL` leads to it: all else in a token is bounded. */
export class TokenTooLarge extends Error {
  override readonly name = 'TokenTooLarge';

  constructor(readonly bytes: number) {
    super(`A token of ${bytes} bytes is over ${MAX_TOKEN_BYTES}; PUBLIC_URL is too long`);
  }
}

/** As `node:crypto` names it; for EdDSA the digest is part of the algorithm. */
export const DIGEST: Record<SigningAlgorithm, 'sha256' | null> = { EdDSA: null, RS256: 'sha256' };

/**
 * A JWS in compact form (RFC 7515 §3.1) over the RFC 8785 forms of header and claims. Both algorithms are
 * deterministic, so the same header, claims and key give the same bytes, for ever.
 *
 * Throws `TokenTooLarge`, and `Error` for a header that names another key or algorithm than the signer's.
 */
export function signCompact(
  header: Readonly<Record<string, unknown>>,
  claims: Readonly<Record<string, unknown>>,
  { kid, alg, privateKey }: TokenSigner,
): string {
  if (header.kid !== kid || header.alg !== alg) throw new Error(`The token's header does not name ${alg} key ${kid}`);
  const input = `${encoded(header)}.${encoded(claims)}`;
  const token = `${input}.${sign(DIGEST[alg], Buffer.from(input), privateKey).toString('base64url')}`;
  if (token.length > MAX_TOKEN_BYTES) throw new TokenTooLarge(token.length);
  return token;
}

const encoded = (part: Readonly<Record<string, unknown>>): string =>
  Buffer.from(canonicalJson(part)).toString('base64url');
