import {
  type KeyObject,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  randomBytes,
} from 'node:crypto';
import type { MasterKeys, RandomBytes } from '#credentials';
import {
  MAX_CLOCK_SKEW_SECONDS,
  type ActiveClient,
  type ClientId,
  type Instant,
  type SubscriptionId,
  goodCredentials,
} from '#domain';
import { type RefreshFamily, type TokenGrant, epochSeconds, familyEnd } from './access-token.js';
import { canonicalBytes, canonicalJsonObject } from './base64url.js';
import { MAX_TOKEN_BYTES } from './jwt-signing.js';
import { isFamilyRevoked } from './standing.js';

/** How long a refresh token is good, where its family isn't over before. */
export const REFRESH_TOKEN_SECONDS = 1800;

/** What a refresh token is bound to. */
export interface RefreshToken {
  readonly clientId: ClientId;
  readonly generation: number;
  /** Of the endpoint whose login issued it; absent: the plain `/login`. */
  readonly subscriptionId?: SubscriptionId;
  readonly family: RefreshFamily;
  /** Seconds since 1970, as are all times here. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** Tells a refresh token from any other JWE, and this shape from a later one. */
const TYPE = 'refresh-token+jwe';
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BATCH_ID_BYTES = 16;
/** So many random nonces a key may see (NIST SP 800-38D §8.3 allows 2^32). */
const MAX_BATCH_TOKENS = 2 ** 31;
const NONCES_AT_A_TIME = 256;

/** Tokens that one process issues under one key: they have the protected header in common. */
interface Batch {
  readonly protectedHeader: string;
  /** Its bytes, which are authenticated with each token. */
  readonly authenticated: Buffer;
  readonly key: KeyObject;
  tokensLeft: number;
}

/**
 * Refresh tokens: compact JWEs (RFC 7516; `dir`, A256GCM), opaque to their holders; `kid` is the master key's id, and
 * `batch` says which key was derived from it. Not made by jose, whose encryption is asynchronous: every login of an
 * OAUTH2 client comes by.
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

  /** A new token of the grant's family. */
  issue(grant: TokenGrant & { readonly family: RefreshFamily }, at: Instant): string {
    const { clientId, generation, endpoint, family } = grant;
    const issuedAt = epochSeconds(at);
    const content: RefreshToken = {
      clientId,
      generation,
      ...(endpoint && { subscriptionId: endpoint.subscriptionId }),
      family,
      issuedAt,
      expiresAt: Math.min(issuedAt + REFRESH_TOKEN_SECONDS, familyEnd(family)),
    };
    const { protectedHeader, authenticated, key } = this.#currentBatch();
    const nonce = this.#nextNonce();
    const cipher = createCipheriv(CIPHER, key, nonce).setAAD(authenticated);
    const ciphertext = cipher.update(JSON.stringify(content));
    cipher.final(); // GCM holds nothing back.
    const parts = [nonce, ciphertext, cipher.getAuthTag()].map((part) => part.toString('base64url'));
    return `${protectedHeader}..${parts.join('.')}`;
  }

  /** What is in a token of `issue`, by whatever process, of any known master key; `undefined` for whatever else it is. */
  open(token: string): RefreshToken | undefined {
    if (token.length > MAX_TOKEN_BYTES) return undefined;
    const [, protectedHeader, ...encoded] = COMPACT.exec(token) ?? [];
    // Introspection and revocation ask this of every access token, too.
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
      // Only `issue` holds this key, so what it opens has the shape that TYPE says.
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
 * Whether the token may be refreshed now by this client, for this subscription (`undefined`: at the plain `/login`).
 * That the subscription is live and assigned is not asked here.
 */
export function isRefreshable(
  token: RefreshToken,
  client: ActiveClient,
  subscriptionId: SubscriptionId | undefined,
  at: Instant,
): boolean {
  const now = Date.parse(at) / 1000;
  return (
    token.clientId === client.clientId &&
    token.subscriptionId === subscriptionId &&
    now < token.expiresAt &&
    token.issuedAt <= now + MAX_CLOCK_SKEW_SECONDS &&
    goodCredentials(client, at).some(({ generation }) => generation === token.generation) &&
    !isFamilyRevoked(client, token.family)
  );
}
