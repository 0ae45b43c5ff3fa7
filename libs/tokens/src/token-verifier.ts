import { hash, verify } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type SigningKeysState, isClientId } from '#domain';
import { ACCESS_TOKEN_TYPE, type AccessTokenClaims } from './access-token.js';
import { canonicalBytes, canonicalJsonObject } from './base64url.js';
import { DIGEST, MAX_TOKEN_BYTES } from './jwt-signing.js';
import type { SigningKeyRing } from './signing-key-ring.js';

/** What a token of ours says, its signature being good. Whether it is good *now* is `standingOf`'s to judge. */
export interface VerifiedToken {
  readonly kid: string;
  readonly claims: AccessTokenClaims;
}

/** Tokens remembered, some 50 MB when full. Only verified ones are, so made-up tokens push none out. */
const REMEMBERED_TOKENS = 50_000;

/**
 * Checks the form and the signature of consumers' tokens: RFC 7515, RFC 9068 §4. A token verified once is known again
 * by its SHA-256; that holds for ever, since a kid has one key. Nothing that can change is remembered.
 */
export class TokenVerifier {
  readonly #verified: LRUCache<string, VerifiedToken>;

  constructor(
    private readonly ring: SigningKeyRing,
    { remembered = REMEMBERED_TOKENS }: { remembered?: number } = {},
  ) {
    // By size, not `max`, which would take its tables at once.
    this.#verified = new LRUCache({ maxSize: remembered, sizeCalculation: () => 1 });
  }

  /** The token where it was verified before: no keys are needed then. */
  recall(token: string): VerifiedToken | undefined {
    return token.length > MAX_TOKEN_BYTES ? undefined : this.#verified.get(digestOf(token));
  }

  /** `undefined` for whatever is not a token of ours, whyever: no form, no key for it, a wrong signature. */
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
    // A kid has one algorithm: the header has no say in how it is verified.
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

/** A JWS in compact form, taken apart (RFC 7515 §5.2, steps 1 to 7). */
function parsed(token: string) {
  if (token.length > MAX_TOKEN_BYTES) return undefined;
  const [, protectedHeader, payload, encodedSignature] = COMPACT.exec(token) ?? [];
  if (protectedHeader === undefined || payload === undefined || encodedSignature === undefined) return undefined;
  const header = canonicalJsonObject(protectedHeader);
  const claims = canonicalJsonObject(payload);
  const signature = canonicalBytes(encodedSignature);
  return header && claims && signature && { header, claims, signature, signed: `${protectedHeader}.${payload}` };
}

/** Exactly what our tokens have: a `crit`, a `jku` or a `jwk` makes it another's. */
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
  (claims.family_id === undefined) === (claims.family_iat === undefined);
