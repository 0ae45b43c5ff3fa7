/** Error codes of RFC 6749 §5.2, and of §4.1.2.1 for an overloaded server. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'temporarily_unavailable'
  | 'server_error';

/** A refusal in OAuth's own format (RFC 6749 §5.2): `{error, error_description}`. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError';

  constructor(
    readonly status: 400 | 401 | 413 | 415 | 500 | 503,
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

/** One answer for an endpoint that is unknown, has ended, or that the client is not assigned to. */
export const unauthorizedClient = () =>
  new OAuthError(400, 'unauthorized_client', 'The client may not log in at this endpoint');

export const temporarilyUnavailable = (description: string) =>
  new OAuthError(503, 'temporarily_unavailable', description, { 'retry-after': '1' });
