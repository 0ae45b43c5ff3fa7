import { hash, verify } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { isClientId, type SigningKeysState } from '#domain';
import { ACCESS_TOKEN_TYPE, type AccessTokenClaims } from './access-token.js';
import { canonicalBytes, canonicalJsonObject } from './base64url.js';
import { DIGEST, MAX_TOKEN_BYTES } from './jwt-signing.js';
import type { SigningKeyRing } from './signing-key-ring.js';

/**
 * The content of one of our tokens whose signature is valid. Whether the token is accepted *now* must be judged by
 * `standingOf`.
 */
export interface VerifiedToken {
  readonly kid: string;
  readonly claims: AccessTokenClaims;
}

/**
 * Maximum number of remembered tokens (50 MB). Only tokens with a valid signature are remembered, so made-up tokens
 * can't displace them.
 */
const REMEMBERED_TOKENS = 50_000;

/**
 * Checks the form and the signature of consumers' tokens (RFC 7515, RFC 9068 §4). A token that passes is remembered by
 * its SHA-256. The result stays true, because a `kid` always names the same key. Nothing else is remembered.
 */
export class TokenVerifier {
  readonly #verified: LRUCache<string, VerifiedToken>;

  constructor(
    private readonly ring: SigningKeyRing,
    { remembered = REMEMBERED_TOKENS }: { remembered?: number } = {},
  ) {
    // We use `maxSize`, since `max` would allocate the whole table at once.
    this.#verified = new LRUCache({ maxSize: remembered, sizeCalculation: () => 1 });
  }

  /**
   * Returns the content of a token that was verified before. Returns `undefined` for any other token. Needs no keys.
   */
  recall(token: string): VerifiedToken | undefined {
    return token.length > MAX_TOKEN_BYTES ? undefined : this.#verified.get(digestOf(token));
  }

  /**
   * Returns the token's content. Returns `undefined` if the token has a wrong form, an unknown or compromised key, or a
   * wrong signature.
   */
  verify(token: string, keys: SigningKeysState): VerifiedToken | undefined {
    const known = this.recall(token);
    if (known) return known;
    const verified = this.#verifyAnew(token, keys);
    if (verified) this.#verified.set(digestOf(token), verified);
    return verified;
  }

  #verifyAnew(token: string, keys: SigningKeysState): VerifiedToken | undefined {
    const jws = parsed(token);
    if (!jws || !isAccessTokenHeader(jws.header)) return undefined;
    const { kid, alg } = jws.header;
    // The algorithm comes from the key in the ring, and the token's header must name the same algorithm. Otherwise an
    // attacker could choose the algorithm.
    const key = keys.keys.find((candidate) => candidate.kid === kid);
    const publicKey = this.ring.verificationKey(keys, kid);
    if (key?.alg !== alg || !publicKey) return undefined;
    const isGenuine = verify(DIGEST[key.alg], Buffer.from(jws.signed), publicKey, jws.signature);
    return isGenuine && isAccessTokenClaims(jws.claims) ? { kid, claims: jws.claims } : undefined;
  }
}

const digestOf = (token: string): string => hash('sha256', token, 'base64');

type Members = Readonly<Record<string, unknown>>;

const COMPACT = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/;

/** Parses a compact JWS (RFC 7515 §5.2, steps 1 to 7). */
function parsed(token: string) {
  if (token.length > MAX_TOKEN_BYTES) return undefined;
  const [, protectedHeader, payload, encodedSignature] = COMPACT.exec(token) ?? [];
  if (protectedHeader === undefined || payload === undefined || encodedSignature === undefined) return undefined;
  const header = canonicalJsonObject(protectedHeader);
  const claims = canonicalJsonObject(payload);
  const signature = canonicalBytes(encodedSignature);
  return header && claims && signature && { header, claims, signature, signed: `${protectedHeader}.${payload}` };
}

/** Accepts only a header with exactly our three fields. A header with `crit`, `jku` or `jwk` is thus refused. */
const isAccessTokenHeader = (header: Members): header is { alg: string; kid: string; typ: string } =>
  Object.keys(header).length === 3 && header.typ === ACCESS_TOKEN_TYPE && typeof header.kid === 'string';

const isAccessTokenClaims = (claims: Members): claims is AccessTokenClaims =>
  isClientId(claims.sub) &&
  claims.client_id === claims.sub &&
  typeof claims.iss === 'string' &&
  typeof claims.aud === 'string' &&
  typeof claims.jti === 'string' &&
  [claims.iat, claims.exp, claims.generation].every(Number.isInteger) &&
  (claims.nbf === undefined || Number.isInteger(claims.nbf)) &&
  (claims.subscription_id === undefined || typeof claims.subscription_id === 'string') &&
  (claims.token_epoch === undefined || Number.isInteger(claims.token_epoch)) &&
  (claims.family_id === undefined) === (claims.family_iat === undefined);
