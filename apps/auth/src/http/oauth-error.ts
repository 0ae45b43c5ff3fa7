/**
 * Error codes from RFC 6749 §5.2, from RFC 6749 §4.1.2.1 (for an overloaded server), and from RFC 6750 §3.1 (for bearer
 * tokens).
 */
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

/** An error that is answered in OAuth's own format (RFC 6749 §5.2): `{error, error_description}`. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError';
  /** Why the request was refused, for the log and the metrics. The caller never learns it. One of few values. */
  reason: string | undefined;

  constructor(
    readonly status: 400 | 401 | 403 | 405 | 413 | 415 | 429 | 500 | 503,
    readonly code: OAuthErrorCode,
    description: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(description);
  }

  /** Sets `reason`. */
  because(reason: string): this {
    this.reason = reason;
    return this;
  }
}

export const invalidRequest = (description: string) => new OAuthError(400, 'invalid_request', description);

export const postOnly = () => new OAuthError(405, 'invalid_request', 'This takes POST only', { allow: 'POST' });

/**
 * An unknown client, a wrong secret, a revoked client and a client of the wrong type all get this same answer, so that
 * the answer does not reveal the reason.
 */
export const invalidClient = () =>
  new OAuthError(401, 'invalid_client', 'Client authentication failed', {
    'www-authenticate': 'Basic realm="consumer-clients"',
  });

/** All refused refresh tokens get this same answer, so that the answer does not reveal the reason. */
export const invalidGrant = () => new OAuthError(400, 'invalid_grant', 'The refresh token is not good here');

/**
 * An unknown endpoint, an endpoint whose subscription has ended and an endpoint that is not assigned to the client all
 * get this same answer.
 */
export const unauthorizedClient = () =>
  new OAuthError(400, 'unauthorized_client', 'The client may not log in at this endpoint');

/** The answer to a caller whose management token is not valid (RFC 6750 §3.1). */
export const invalidToken = () =>
  new OAuthError(401, 'invalid_token', 'This bearer token is not good here', {
    'www-authenticate': 'Bearer error="invalid_token"',
  });

/** The answer to a caller whose management token lacks a required scope (RFC 6750 §3.1). */
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
