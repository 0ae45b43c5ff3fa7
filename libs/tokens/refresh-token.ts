import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import type { MasterKeys, RandomBytes } from '#credentials';
import {
  type ActiveClient,
  type ClientId,
  type Instant,
  isGoodGeneration,
  MAX_CLOCK_SKEW_SECONDS,
  millisecondsOf,
  type SubscriptionId,
} from '#domain';
import { epochSeconds, familyEnd, lifetimeWithin, type RefreshFamily, type TokenGrant } from './access-token.js';
import { canonicalBytes, canonicalJsonObject } from './base64url.js';
import { MAX_TOKEN_BYTES } from './jwt-signing.js';
import { isFamilyRevoked } from './standing.js';

/**
 * Lifetime of a refresh token in seconds. A refresh token expires earlier if its family (all tokens that descend from
 * one login) or its credential ends earlier.
 */
export const REFRESH_TOKEN_SECONDS = 1800;

/** The encrypted content of a refresh token. */
export interface RefreshToken {
  readonly clientId: ClientId;
  readonly generation: number;
  /**
   * The subscription of the endpoint at which the client logged in. If absent, the client logged in at the plain
   * `/login`.
   */
  readonly subscriptionId?: SubscriptionId;
  readonly family: RefreshFamily;
  /** The client's token epoch (`TokenLedger`). Tokens that an older version of this software issued lack it. */
  readonly tokenEpoch?: number;
  /** In seconds since 1970, like `expiresAt`. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/**
 * Distinguishes refresh tokens from other JWEs. This text must change if an older version of this software could no
 * longer use the content of new refresh tokens.
 */
const TYPE = 'refresh-token+jwe';
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BATCH_ID_BYTES = 16;
/**
 * Maximum number of tokens that are encrypted with one key. Each token needs its own random nonce, and NIST SP 800-38D
 * §8.3 allows 2^32 random nonces per key.
 */
const MAX_BATCH_TOKENS = 2 ** 31;
const NONCES_AT_A_TIME = 256;

/** Tokens that one process encrypts with the same key. All tokens of a batch have the same protected header. */
interface Batch {
  readonly protectedHeader: string;
  /** The bytes of `protectedHeader`. The encryption of each token also authenticates these bytes. */
  readonly authenticated: Buffer;
  readonly key: KeyObject;
  tokensLeft: number;
}

/**
 * Issues and opens refresh tokens. A refresh token is an encrypted compact JWE (RFC 7516; `dir`, A256GCM), so its
 * holder can't read the content. The key is derived from two values in the token's header: `kid`, which names a master
 * key, and `batch`. We don't use jose, because jose encrypts asynchronously, and every login of an OAUTH2 client issues
 * a refresh token.
 */
export class RefreshTokens {
  readonly #keys: MasterKeys;
  readonly #random: RandomBytes;
  #batch: Batch | undefined;
  #nonces: Buffer = Buffer.alloc(0);

  constructor(keys: MasterKeys, random: RandomBytes = randomBytes) {
    this.#keys = keys;
    this.#random = random;
  }

  /**
   * Issues a refresh token that belongs to the grant's family (all tokens that descend from one login). Returns also its
   * lifetime in seconds.
   */
  issue(grant: TokenGrant & { readonly family: RefreshFamily }, at: Instant): { token: string; expiresIn: number } {
    const { clientId, generation, endpoint, family, tokenEpoch, credentialExpiresAt } = grant;
    const issuedAt = epochSeconds(at);
    const longest = Math.min(REFRESH_TOKEN_SECONDS, familyEnd(family) - issuedAt);
    const expiresIn = credentialExpiresAt === undefined ? longest : lifetimeWithin(longest, credentialExpiresAt, at);
    const content: RefreshToken = {
      clientId,
      generation,
      ...(endpoint && { subscriptionId: endpoint.subscriptionId }),
      family,
      ...(tokenEpoch !== undefined && { tokenEpoch }),
      issuedAt,
      expiresAt: issuedAt + expiresIn,
    };
    const { protectedHeader, authenticated, key } = this.#currentBatch();
    const nonce = this.#nextNonce();
    const cipher = createCipheriv(CIPHER, key, nonce).setAAD(authenticated);
    const ciphertext = cipher.update(JSON.stringify(content)).toString('base64url');
    // `final` returns no bytes: GCM is a stream cipher, so `update` has already returned the whole ciphertext.
    cipher.final();
    const tag = cipher.getAuthTag().toString('base64url');
    const token = `${protectedHeader}..${nonce.toString('base64url')}.${ciphertext}.${tag}`;
    return { token, expiresIn };
  }

  /**
   * Returns the token's content if any process issued the token under a known master key. Returns `undefined` for any
   * other text.
   */
  open(token: string): RefreshToken | undefined {
    if (token.length > MAX_TOKEN_BYTES) return undefined;
    const [, protectedHeader, ...encoded] = COMPACT.exec(token) ?? [];
    // Introspection and revocation also call `open` for access tokens, so we return early if the text is not a JWE.
    if (protectedHeader === undefined) return undefined;
    const { alg, enc, typ, kid, batch } = canonicalJsonObject(protectedHeader) ?? {};
    if (alg !== 'dir' || enc !== 'A256GCM' || typ !== TYPE) return undefined;
    if (typeof kid !== 'string' || typeof batch !== 'string' || !this.#keys.ids.includes(kid)) return undefined;
    const [nonce, ciphertext, tag] = encoded.map(canonicalBytes);
    if (nonce?.length !== NONCE_BYTES || !ciphertext || tag?.length !== TAG_BYTES) return undefined;
    const decipher = createDecipheriv(CIPHER, this.#keyOf(batch, kid), nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(protectedHeader)).setAuthTag(tag);
    try {
      const plaintext = Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString();
      // Only `issue` encrypts with this key, so the content has the shape of a `RefreshToken`.
      return JSON.parse(plaintext) as RefreshToken;
    } catch {
      return undefined;
    }
  }

  #currentBatch(): Batch {
    const batch = this.#batch && this.#batch.tokensLeft > 0 ? this.#batch : this.#newBatch();
    this.#batch = batch;
    batch.tokensLeft -= 1;
    return batch;
  }

  #newBatch(): Batch {
    const { currentId: kid } = this.#keys;
    const batch = this.#random(BATCH_ID_BYTES).toString('base64url');
    const header = JSON.stringify({ alg: 'dir', enc: 'A256GCM', typ: TYPE, kid, batch });
    const protectedHeader = Buffer.from(header).toString('base64url');
    const authenticated = Buffer.from(protectedHeader);
    return { protectedHeader, authenticated, key: this.#keyOf(batch, kid), tokensLeft: MAX_BATCH_TOKENS };
  }

  #keyOf(batch: string, masterKeyId: string): KeyObject {
    const masterKey = this.#keys.derive('refresh-token', masterKeyId);
    return createSecretKey(createHmac('sha256', masterKey).update(batch).digest());
  }

  #nextNonce(): Buffer {
    if (this.#nonces.length === 0) this.#nonces = this.#random(NONCES_AT_A_TIME * NONCE_BYTES);
    const nonce = this.#nonces.subarray(0, NONCE_BYTES);
    this.#nonces = this.#nonces.subarray(NONCE_BYTES);
    return nonce;
  }
}

const COMPACT = /^([\w-]+)\.\.([\w-]+)\.([\w-]+)\.([\w-]+)$/;

/**
 * Whether this client may refresh this token now, at the endpoint of the subscription `subscriptionId`. If
 * `subscriptionId` is `undefined`, the client refreshes at the plain `/login`. The caller must check that the
 * subscription is live and assigned to the client.
 */
export function isRefreshable(
  token: RefreshToken,
  client: ActiveClient,
  subscriptionId: SubscriptionId | undefined,
  at: Instant,
): boolean {
  const now = millisecondsOf(at) / 1000;
  return (
    token.clientId === client.clientId &&
    token.subscriptionId === subscriptionId &&
    now < token.expiresAt &&
    token.issuedAt <= now + MAX_CLOCK_SKEW_SECONDS &&
    isGoodGeneration(client, token.generation, at) &&
    !isFamilyRevoked(client, token.family, token.tokenEpoch)
  );
}
