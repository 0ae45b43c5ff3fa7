import { hash } from 'node:crypto';
import { JWKS_MAX_AGE_SECONDS } from '#domain';
import { jwksOf } from '#tokens';
import type { AuthDependencies } from '../dependencies.js';
import type { FastAnswer, FastRequest, Handler } from '../http/fast-path.js';

/**
 * `GET /.well-known/jwks.json` (RFC 7517) returns the public keys that verify all unexpired tokens. The keys are read
 * strongly (and so are never outdated), so a compromised key disappears at once.
 */
export const jwksHandler =
  (dependencies: Pick<AuthDependencies, 'ring' | 'now'>): Handler =>
  async (request) => {
    const { ring, now } = dependencies;
    const body = JSON.stringify(jwksOf(await ring.state(), now()));
    const etag = `"${hash('sha256', body, 'base64url')}"`;
    const headers = ['cache-control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`, 'etag', etag];
    if (isKnown(request, etag)) return { status: 304, headers };
    return { status: 200, headers: [...headers, 'content-type', 'application/jwk-set+json; charset=utf-8'], body };
  };

/** Whether the caller already has the key set with this `etag`, by the weak comparison of RFC 9110 §13.1.2. */
const isKnown = ({ headers }: FastRequest, etag: string): boolean =>
  (headers['if-none-match'] ?? '').split(',').some((known) => ['*', etag, `W/${etag}`].includes(known.trim()));

type MetadataSource = Pick<AuthDependencies, 'issuer' | 'managementTokens'>;

/**
 * Returns `/.well-known/oauth-authorization-server`, followed by the path of the issuer's URL if the URL has a path
 * (RFC 8414 §3).
 */
export function metadataPath(issuer: string): string {
  const { pathname } = new URL(issuer);
  return `/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`;
}

/** Serves the `metadata` of this authorization server. */
export function metadataHandler(metadata: object): Handler {
  const headers = ['cache-control', 'public, max-age=300', 'content-type', 'application/json; charset=utf-8'];
  const answer: FastAnswer = { status: 200, headers, body: JSON.stringify(metadata) };
  return () => answer;
}

const BY_SECRET = ['client_secret_basic', 'client_secret_post'];

/**
 * Returns the metadata of this authorization server (RFC 8414 §2). The RFC allows only one `token_endpoint`. Each API
 * endpoint also has a token endpoint of its own, at `/{endpointUri}/login`.
 */
export const metadataOf = ({ issuer, managementTokens }: MetadataSource) => ({
  issuer,
  token_endpoint: `${issuer}/login`,
  introspection_endpoint: `${issuer}/oauth/introspect`,
  revocation_endpoint: `${issuer}/oauth/revoke`,
  jwks_uri: `${issuer}/.well-known/jwks.json`,
  response_types_supported: [],
  grant_types_supported: ['client_credentials', 'refresh_token'],
  token_endpoint_auth_methods_supported: BY_SECRET,
  // If an issuer of management tokens is known, a caller may also authenticate with a management token (RFC 6750).
  introspection_endpoint_auth_methods_supported: managementTokens ? [...BY_SECRET, 'Bearer'] : BY_SECRET,
  revocation_endpoint_auth_methods_supported: BY_SECRET,
});
