import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
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

/**
 * A new refresh token of the grant's family: a compact JWE (RFC 7516; `dir`, A256GCM), opaque to its holder; `kid` is
 * the master key's id. Not made by jose, whose encryption is asynchronous: every login of an OAUTH2 client comes by.
 */
export function issueRefreshToken(
  grant: TokenGrant & { readonly family: RefreshFamily },
  at: Instant,
  keys: MasterKeys,
  random: RandomBytes = randomBytes,
): string {
  const { clientId, generation, endpoint, family } = grant;
  const issuedAt = epochSeconds(at);
  const content = {
    clientId,
    generation,
    ...(endpoint && { subscriptionId: endpoint.subscriptionId }),
    familyStartedAt: family.startedAt,
    issuedAt,
    expiresAt: Math.min(issuedAt + REFRESH_TOKEN_SECONDS, familyEnd(family)),
  };
  const header = { alg: 'dir', enc: 'A256GCM', typ: TYPE, kid: keys.currentId, family: family.id };
  const protectedHeader = Buffer.from(JSON.stringify(header)).toString('base64url');
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyOf(family.id, keys, keys.currentId), nonce);
  cipher.setAAD(Buffer.from(protectedHeader));
  const ciphertext = Buffer.concat([cipher.update(JSON.stringify(content)), cipher.final()]);
  const parts = [nonce, ciphertext, cipher.getAuthTag()].map((part) => part.toString('base64url'));
  return `${protectedHeader}..${parts.join('.')}`;
}

/** A key a family: so no key ever sees the 2^32 random nonces that NIST SP 800-38D §8.3 allows it. */
const keyOf = (familyId: string, keys: MasterKeys, masterKeyId: string): Buffer =>
  createHmac('sha256', keys.derive('refresh-token', masterKeyId)).update(familyId).digest();

const COMPACT = /^([\w-]+)\.\.([\w-]+)\.([\w-]+)\.([\w-]+)$/;

/** What is in a token of `issueRefreshToken`, of any known master key; `undefined` for whatever else it is. */
export function openRefreshToken(token: string, keys: MasterKeys): RefreshToken | undefined {
  if (token.length > MAX_TOKEN_BYTES) return undefined;
  const [, protectedHeader, ...encoded] = COMPACT.exec(token) ?? [];
  // Introspection and revocation ask this of every access token, too.
  if (protectedHeader === undefined) return undefined;
  const { alg, enc, typ, kid, family: id } = canonicalJsonObject(protectedHeader) ?? {};
  if (alg !== 'dir' || enc !== 'A256GCM' || typ !== TYPE) return undefined;
  if (typeof kid !== 'string' || typeof id !== 'string' || !keys.ids.includes(kid)) return undefined;
  const [nonce, ciphertext, tag] = encoded.map(canonicalBytes);
  if (nonce?.length !== NONCE_BYTES || !ciphertext || tag?.length !== TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, keyOf(id, keys, kid), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(protectedHeader)).setAuthTag(tag);
  try {
    const plaintext = Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString();
    // Only issueRefreshToken holds this key, so what it opens has the shape that TYPE says.
    const { familyStartedAt, ...rest } = JSON.parse(plaintext) as SealedContent;
    return { ...rest, family: { id, startedAt: familyStartedAt } };
  } catch {
    return undefined;
  }
}

type SealedContent = Omit<RefreshToken, 'family'> & { readonly familyStartedAt: number };

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
