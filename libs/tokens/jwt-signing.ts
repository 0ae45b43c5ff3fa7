import { type KeyObject, sign } from 'node:crypto';
import type { SigningAlgorithm } from '#domain';
import { canonicalJson } from '#events';

/** A private key that may sign tokens, and the two values that describe the key in a token's header. */
export interface TokenSigner {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly privateKey: KeyObject;
}

/** Maximum size of a token in bytes. Larger tokens might not fit into the header buffers of gateways and providers. */
export const MAX_TOKEN_BYTES = 2048;

/**
 * The token would be longer than `MAX_TOKEN_BYTES`. Only a very long `PUBLIC_URL` can cause this error, because
 * everything else in a token has a limited size.
 */
export class TokenTooLarge extends Error {
  override readonly name = 'TokenTooLarge';

  constructor(readonly bytes: number) {
    super(`A token of ${bytes} bytes is over ${MAX_TOKEN_BYTES}; PUBLIC_URL is too long`);
  }
}

/** The name of the digest in `node:crypto`. EdDSA contains its own digest, so the name is null. */
export const DIGEST: Record<SigningAlgorithm, 'sha256' | null> = { EdDSA: null, RS256: 'sha256' };

/**
 * Signs header and claims as a compact JWS (RFC 7515 §3.1) over their canonical JSON (RFC 8785). Both algorithms are
 * deterministic: the same header, claims and key always give the same bytes.
 *
 * Throws `TokenTooLarge`. Throws `Error` if the header names another key or algorithm than the signer's.
 */
export function signCompact(
  header: Readonly<Record<string, unknown>>,
  claims: Readonly<Record<string, unknown>>,
  signer: TokenSigner,
): string {
  const { kid, alg } = signer;
  if (header.kid !== kid || header.alg !== alg) throw new Error(`The token's header does not name ${alg} key ${kid}`);
  return signEncoded(encoded(canonicalJson(header)), encoded(canonicalJson(claims)), signer);
}

/**
 * Signs a header and claims that are already encoded. The header MUST name the signer's key and algorithm. Throws
 * `TokenTooLarge`.
 */
export function signEncoded(header: string, claims: string, { alg, privateKey }: TokenSigner): string {
  const input = `${header}.${claims}`;
  const token = `${input}.${sign(DIGEST[alg], Buffer.from(input, 'latin1'), privateKey).toString('base64url')}`;
  if (token.length > MAX_TOKEN_BYTES) throw new TokenTooLarge(token.length);
  return token;
}

/** Encodes JSON text as base64url, as in a JWT. */
export const encoded = (json: string): string => Buffer.from(json).toString('base64url');
