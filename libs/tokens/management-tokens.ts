import { hash } from 'node:crypto';
import {
  createRemoteJWKSet,
  decodeJwt,
  errors,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose';
import { LRUCache } from 'lru-cache';
import { Failure, isWorkspaceId, type WorkspaceId } from '#domain';
import type { AdminTokenFile } from './admin-token-file.js';
import { BOOTSTRAP_AUDIENCE, BOOTSTRAP_ISSUER, BOOTSTRAP_TYPE, type BootstrapIssuer } from './bootstrap-issuer.js';
import { isManagementScope, MANAGEMENT_SCOPES, type ManagementScope } from './management-scope.js';

/** An authenticated caller of the management API, and the caller's rights. */
export interface ManagementPrincipal {
  readonly subject: string;
  /** In alphabetical order. */
  readonly scopes: ReadonlySet<ManagementScope>;
  /** The workspace that the caller's token is bound to. Absent if the token is not bound to a workspace. */
  readonly workspaceId?: WorkspaceId;
  /** Whether the caller is an operator, who may access any workspace. */
  readonly anyWorkspace: boolean;
}

/**
 * The accepted issuers of management tokens: either the built-in issuer, or one external issuer. The administrator's
 * token is accepted only together with the built-in issuer.
 */
export type ManagementIdentityProvider = OwnIssuer | ExternalIssuer;

export interface OwnIssuer {
  readonly bootstrap: BootstrapIssuer;
  readonly adminToken: AdminTokenFile;
  readonly endedTokens: EndedTokens;
}

/** Knows which tokens of the built-in issuer were ended before they expired. */
export interface EndedTokens {
  /** Throws `LogUnavailable`. */
  has(tokenId: string): Promise<boolean>;
}

/** The values of `MANAGEMENT_ISSUER`, `MANAGEMENT_AUDIENCE` and `MANAGEMENT_JWKS_URL`. */
export interface ExternalIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: URL;
}

/** The management token is not valid. The error deliberately does not contain the reason, not even as its `cause`. */
export class InvalidManagementToken extends Error {
  override readonly name = 'InvalidManagementToken';

  constructor() {
    super('This bearer token is not good for the management API');
  }
}

/** The issuer's public keys can't be fetched now, so we can't tell whether the token is valid. */
export class ManagementIssuerUnavailable extends Failure {
  override readonly name = 'ManagementIssuerUnavailable';
  readonly kind = 'unavailable';
  readonly code = 'management_issuer_unavailable';
  readonly detail = "The issuer's keys can not be fetched; try again";
}

export interface ManagementTokenVerifierOptions {
  readonly now?: () => Date;
}

type VerifiedClaims = JWTPayload & { readonly exp: number };

interface VerifiedToken {
  readonly principal: ManagementPrincipal;
  /** The `jti` of a token that an operator may have ended. */
  readonly tokenId: string | undefined;
  /** In ms since 1970. From then on, the signature is verified again. */
  readonly until: number;
}

const ADMINISTRATOR: ManagementPrincipal = {
  subject: 'administrator',
  scopes: new Set(MANAGEMENT_SCOPES.toSorted()),
  anyWorkspace: true,
};

const LEEWAY_SECONDS = 5;
const MAX_BEARER_LENGTH = 8192;
export const MAX_SUBJECT_LENGTH = 255;
const REMEMBERED_TOKENS = 10_000;
/** How long a verified token is accepted before its signature is checked again, in ms. */
const REMEMBERED_MS = 60_000;

/** Verifies the bearer tokens of the management API (`/v1`). */
export class ManagementTokenVerifier {
  readonly #now: () => Date;
  readonly #verifyJwt: (token: string, now: Date) => Promise<VerifiedClaims>;
  /** Verified tokens. The key is the SHA-256 of the token. */
  readonly #verified = new LRUCache<string, VerifiedToken>({ max: REMEMBERED_TOKENS });

  constructor(
    private readonly provider: ManagementIdentityProvider,
    { now = () => new Date() }: ManagementTokenVerifierOptions = {},
  ) {
    this.#now = now;
    this.#verifyJwt = 'bootstrap' in provider ? verifierOfBootstrap(provider.bootstrap) : verifierOfIssuer(provider);
  }

  /**
   * Returns the caller to whom the token belongs. Throws `InvalidManagementToken`, `ManagementIssuerUnavailable`, and
   * `LogUnavailable` if it can't be told whether the token was ended.
   */
  async verify(bearer: string): Promise<ManagementPrincipal> {
    if (bearer.length > MAX_BEARER_LENGTH) throw new InvalidManagementToken();
    if (!bearer.includes('.')) return this.administrator(bearer);
    const digest = hash('sha256', bearer, 'base64');
    const now = this.#now();
    const known = this.#verified.get(digest);
    const isKnown = known !== undefined && now.getTime() < known.until;
    const { principal, tokenId } = isKnown ? known : await this.verified(bearer, digest, now);
    // Asked at every use: that a token was ended must not wait until its signature is verified again.
    if (tokenId !== undefined && 'endedTokens' in this.provider && (await this.provider.endedTokens.has(tokenId))) {
      throw new InvalidManagementToken();
    }
    return principal;
  }

  private async verified(bearer: string, digest: string, now: Date): Promise<VerifiedToken> {
    const claims = await this.#verifyJwt(bearer, now);
    const until = Math.min(claims.exp * 1000, now.getTime() + REMEMBERED_MS);
    const token = { principal: principalOf(claims), tokenId: claims.jti, until };
    this.#verified.set(digest, token);
    return token;
  }

  private administrator(bearer: string): ManagementPrincipal {
    if ('adminToken' in this.provider && this.provider.adminToken.matches(bearer)) return ADMINISTRATOR;
    throw new InvalidManagementToken();
  }
}

/**
 * Returns when a token that was verified expires, in ms since 1970. `undefined` for the administrator's token, which does
 * not expire.
 */
export const expiryOf = (bearer: string): number | undefined => {
  if (!bearer.includes('.')) return undefined;
  const { exp } = decodeJwt(bearer);
  return exp === undefined ? undefined : exp * 1000;
};

const verifierOfBootstrap = (bootstrap: BootstrapIssuer) => {
  const keyOf: JWTVerifyGetKey = ({ kid }) => {
    const key = bootstrap.verificationKey(kid);
    if (!key) throw new InvalidManagementToken();
    return key;
  };
  const expected = { issuer: BOOTSTRAP_ISSUER, audience: BOOTSTRAP_AUDIENCE, typ: BOOTSTRAP_TYPE };
  return (token: string, now: Date) => verifiedClaims(token, keyOf, { ...expected, algorithms: ['EdDSA'] }, now);
};

const verifierOfIssuer = ({ issuer, audience, jwksUrl }: ExternalIssuer) => {
  const remoteKeys = createRemoteJWKSet(jwksUrl);
  const keyOf: JWTVerifyGetKey = async (header, token) => {
    try {
      return await remoteKeys(header, token);
    } catch (cause) {
      if (cause instanceof errors.JWKSNoMatchingKey || cause instanceof errors.JWKSMultipleMatchingKeys) throw cause;
      throw new ManagementIssuerUnavailable('The keys at MANAGEMENT_JWKS_URL are not to be had', { cause });
    }
  };
  const expected = { issuer, audience, algorithms: ['EdDSA', 'RS256', 'PS256', 'ES256'] };
  return (token: string, now: Date) => verifiedClaims(token, keyOf, expected, now);
};

/**
 * Verifies the token with jose, and then checks `exp` and `iat` in our own code. jose would apply the leeway to `exp`
 * as well, and does not check `iat`.
 */
const verifiedClaims = async (
  token: string,
  keyOf: JWTVerifyGetKey,
  expected: JWTVerifyOptions,
  now: Date,
): Promise<VerifiedClaims> => {
  const { payload } = await jwtVerify(token, keyOf, {
    ...expected,
    requiredClaims: ['exp'],
    currentDate: now,
    clockTolerance: LEEWAY_SECONDS,
  }).catch((error: unknown) => {
    throw error instanceof ManagementIssuerUnavailable ? error : new InvalidManagementToken();
  });
  const { exp = 0, iat = 0 } = payload;
  const seconds = now.getTime() / 1000;
  if (exp <= seconds || iat > seconds + LEEWAY_SECONDS) throw new InvalidManagementToken();
  return { ...payload, exp };
};

/** jose does not check the claim. Events carry the subject, and only well-formed Unicode can be hashed (RFC 8785). */
const isSubject = (sub: unknown): sub is string =>
  typeof sub === 'string' && sub !== '' && sub.length <= MAX_SUBJECT_LENGTH && sub.isWellFormed();

const principalOf = ({ sub, scope = '', workspace_id: workspaceId }: JWTPayload): ManagementPrincipal => {
  if (!isSubject(sub)) throw new InvalidManagementToken();
  if (typeof scope !== 'string') throw new InvalidManagementToken();
  if (workspaceId !== undefined && !isWorkspaceId(workspaceId)) throw new InvalidManagementToken();
  const scopes = new Set(scope.split(' ').filter(isManagementScope).sort());
  const anyWorkspace = scopes.has('workspaces:any');
  return { subject: sub, scopes, anyWorkspace, ...(workspaceId !== undefined && { workspaceId }) };
};
