import type { AuthenticationType } from '#domain';
import { OAuthError, invalidRequest } from '../oauth/oauth-error.js';
import { type Parameters, required } from '../oauth/parameters.js';
import {
  type PresentedCredentials,
  apiKeyIn,
  inOneWayOnly,
  oauthCredentialsIn,
} from '../oauth/presented-credentials.js';

/** Who wants to log in, and by what. Only the form was looked at. */
export interface LoginRequest {
  readonly credentials: PresentedCredentials;
  readonly authenticationType: AuthenticationType;
  /** There where the login is a refresh. */
  readonly refreshToken?: string;
}

/**
 * `{"api-key": …}`, or RFC 6749 §4.4 (`client_credentials`) or §6 (`refresh_token`). Parameters that nobody knows are
 * ignored, as §3.2 asks. Throws `OAuthError`.
 */
export function loginRequest(parameters: Parameters, authorization: string | undefined): LoginRequest {
  const { grant_type: grantType } = parameters;
  if ('api-key' in parameters && grantType !== undefined) throw inOneWayOnly();
  const apiKey = apiKeyIn(parameters, authorization);
  if (apiKey) return { credentials: apiKey, authenticationType: 'API_KEY' };
  if (grantType === undefined) throw invalidRequest('api-key or grant_type is needed');
  if (grantType !== 'client_credentials' && grantType !== 'refresh_token') {
    throw new OAuthError(400, 'unsupported_grant_type', 'grant_type must be client_credentials or refresh_token');
  }
  return {
    ...(grantType === 'refresh_token' && { refreshToken: required(parameters, 'refresh_token') }),
    credentials: oauthCredentialsIn(parameters, authorization),
    authenticationType: 'OAUTH2',
  };
}
