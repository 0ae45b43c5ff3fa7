import { createHash } from 'node:crypto';
import {
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  createRemoteJWKSet,
  errors,
  jwtVerify,
} from 'jose';
import { LRUCache } from 'lru-cache';
import { type WorkspaceId, isWorkspaceId } from '#domain';
import type { AdminTokenFile } from './admin-token-file.js';
import { BOOTSTRAP_AUDIENCE, BOOTSTRAP_ISSUER, BOOTSTRAP_TYPE, type BootstrapIssuer } from './bootstrap-issuer.js';
import { type ManagementScope, MANAGEMENT_SCOPES, isManagementScope } from './management-scope.js';

/** Who calls the management API, and what they may do. */
export interface ManagementPrincipal {
  readonly subject: string;
  readonly scopes: ReadonlySet<ManagementScope>;
  /** The workspace that the token is bound to. */
  readonly workspaceId?: WorkspaceId;
  /** An operator: may name any workspace. */
  readonly anyWorkspace: boolean;
}

/** Whose tokens are good: the built-in issuer's with the administrator's, or one other issuer's and nothing else. */
export type ManagementIdentityProvider =
  { readonly bootstrap: BootstrapIssuer; readonly adminToken: AdminTokenFile } | ExternalIssuer;

/** `MANAGEMENT_ISSUER`, `MANAGEMENT_AUDIENCE` and `MANAGEMENT_JWKS_URL`. */
export interface ExternalIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: URL;
}

/** Not a good token; it doesn't say why, neither to the caller nor by its cause. */
export class InvalidManagementToken extends Error {
  override readonly name = 'InvalidManagementToken';

  constructor() {
    super('This bearer token is not good for the management API');
  }
}

/** The issuer's keys can't be fetched now, so nothing can be said of the token (HTTP 503). */
export class ManagementIssuerUnavailable extends Error {
  override readonly name = 'ManagementIssuerUnavailable';
}

export interface ManagementTokenVerifierOptions {
  readonly now?: () => Date;
}

type VerifiedClaims = JWTPayload & { readonly exp: number };

const ADMINISTRATOR: ManagementPrincipal = {
  subject: 'administrator',
  scopes: new Set(MANAGEMENT_SCOPES),
  anyWorkspace: true,
};

const LEEWAY_SECONDS = 5;
const MAX_BEARER_LENGTH = 8192;
const MAX_SUBJECT_LENGTH = 255;
const REMEMBERED_TOKENS = 10_000;
/** How long a verified token is believed without asking the issuer's keys again. */
const REMEMBERED_MS = 60_000;

/** Checks the bearer tokens of `/v1`. */
export class ManagementTokenVerifier {
  readonly #now: () => Date;
  readonly #verifyJwt: (token: string, now: Date) => Promise<VerifiedClaims>;
  /** By the token's SHA-256. */
  readonly #verified = new LRUCache<string, { readonly principal: ManagementPrincipal; readonly until: number }>({
    max: REMEMBERED_TOKENS,
  });

  constructor(
    private readonly provider: ManagementIdentityProvider,
    { now = () => new Date() }: ManagementTokenVerifierOptions = {},
  ) {
    this.#now = now;
    this.#verifyJwt = 'bootstrap' in provider ? verifierOfBootstrap(provider.bootstrap) : verifierOfIssuer(provider);
  }

  /** Throws `InvalidManagementToken`, `ManagementIssuerUnavailable`. */
  async verify(bearer: string): Promise<ManagementPrincipal> {
    if (bearer.length > MAX_BEARER_LENGTH) throw new InvalidManagementToken();
    if (!bearer.includes('.')) return this.administrator(bearer);
    const digest = createHash('sha256').update(bearer).digest('base64');
    const now = this.#now();
    const known = this.#verified.get(digest);
    if (known && now.getTime() < known.until) return known.principal;
    const claims = await this.#verifyJwt(bearer, now);
    const principal = principalOf(claims);
    this.#verified.set(digest, { principal, until: Math.min(claims.exp * 1000, now.getTime() + REMEMBERED_MS) });
    return principal;
  }

  private administrator(bearer: string): ManagementPrincipal {
    if ('adminToken' in this.provider && this.provider.adminToken.matches(bearer)) return ADMINISTRATOR;
    throw new InvalidManagementToken();
  }
}

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

/** jose's leeway counts for `exp` too, and it doesn't look at `iat`: both are checked here. */
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

const principalOf = ({ sub, scope = '', workspace_id: workspaceId }: JWTPayload): ManagementPrincipal => {
  if (!sub || sub.length > MAX_SUBJECT_LENGTH) throw new InvalidManagementToken();
  if (typeof scope !== 'string') throw new InvalidManagementToken();
  if (workspaceId !== undefined && !isWorkspaceId(workspaceId)) throw new InvalidManagementToken();
  const scopes = new Set(scope.split(' ').filter(isManagementScope));
  const anyWorkspace = scopes.has('workspaces:any');
  return { subject: sub, scopes, anyWorkspace, ...(workspaceId !== undefined && { workspaceId }) };
};
