/** Error codes of RFC 6749 §5.2, of §4.1.2.1 for an overloaded server, and of RFC 6750 §3.1 for bearer tokens. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'temporarily_unavailable'
  | 'server_error';

/** A refusal in OAuth's own format (RFC 6749 §5.2): `{error, error_description}`. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError';

  constructor(
    readonly status: 400 | 401 | 403 | 405 | 413 | 415 | 429 | 500 | 503,
    readonly code: OAuthErrorCode,
    description: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(description);
  }
}

export const invalidRequest = (description: string) => new OAuthError(400, 'invalid_request', description);

/** One answer for an unknown client, a wrong secret, a revoked client and a client of the other type. */
export const invalidClient = () =>
  new OAuthError(401, 'invalid_client', 'Client authentication failed', {
    'www-authenticate': 'Basic realm="consumer-clients"',
  });

/** One answer for whatever keeps a refresh token from being used as it was. */
export const invalidGrant = () => new OAuthError(400, 'invalid_grant', 'The refresh token is not good here');

/** One answer for an endpoint that is unknown, has ended, or that the client is not assigned to. */
export const unauthorizedClient = () =>
  new OAuthError(400, 'unauthorized_client', 'The client may not log in at this endpoint');

/** A management token that isn't good (RFC 6750 §3.1). */
export const invalidToken = () =>
  new OAuthError(401, 'invalid_token', 'This bearer token is not good here', {
    'www-authenticate': 'Bearer error="invalid_token"',
  });

/** A management token without the scope that is needed (RFC 6750 §3.1). */
export const insufficientScope = (scope: string) =>
  new OAuthError(403, 'insufficient_scope', `This needs the scope ${scope}`, {
    'www-authenticate': `Bearer error="insufficient_scope", scope="${scope}"`,
  });

export const tooManyRequests = (
  description: string,
  retryAfterSeconds: number,
  headers: Readonly<Record<string, string>> = {},
) =>
  new OAuthError(429, 'temporarily_unavailable', description, { ...headers, 'retry-after': String(retryAfterSeconds) });

export const temporarilyUnavailable = (description: string) =>
  new OAuthError(503, 'temporarily_unavailable', description, { 'retry-after': '1' });
