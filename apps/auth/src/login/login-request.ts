import { parseApiKey } from '#credentials';
import type { AuthenticationType } from '#domain';
import { OAuthError, invalidClient, invalidRequest } from '../oauth-error.js';

/** Whom a login says it is. Only the form was looked at. */
export interface LoginRequest {
  readonly clientId: string;
  readonly secret: string;
  readonly authenticationType: AuthenticationType;
}

type IdAndSecret = Pick<LoginRequest, 'clientId' | 'secret'>;

/** Parameters of a form or a JSON body: strings only. */
export type Parameters = Readonly<Record<string, string>>;

/**
 * `{"api-key": …}`, or RFC 6749 §4.4 with the client's id and secret by HTTP Basic (§2.3.1) or in the body, never both.
 * Parameters that nobody knows are ignored, as §3.2 asks. Throws `OAuthError`.
 */
export function loginRequest(parameters: Parameters, authorization: string | undefined): LoginRequest {
  const apiKey = parameters['api-key'];
  if (apiKey !== undefined) {
    if (authorization !== undefined || 'grant_type' in parameters || 'client_secret' in parameters) {
      throw invalidRequest('An API key is the only way to authenticate when it is sent');
    }
    const parsed = parseApiKey(apiKey);
    if (!parsed) throw invalidClient();
    return { ...parsed, authenticationType: 'API_KEY' };
  }
  if (parameters.grant_type === undefined) throw invalidRequest('api-key or grant_type is needed');
  if (parameters.grant_type !== 'client_credentials') {
    throw new OAuthError(400, 'unsupported_grant_type', 'grant_type must be client_credentials');
  }
  return { ...clientCredentials(parameters, authorization), authenticationType: 'OAUTH2' };
}

function clientCredentials(parameters: Parameters, authorization: string | undefined): IdAndSecret {
  const { client_id: clientId, client_secret: secret } = parameters;
  if (authorization === undefined) {
    if (clientId === undefined || secret === undefined) throw invalidClient();
    return { clientId, secret };
  }
  if (secret !== undefined) throw invalidRequest('The client must authenticate in one way only');
  const basic = basicCredentials(authorization);
  if (clientId !== undefined && clientId !== basic.clientId) {
    throw invalidRequest('client_id is not the one that authenticates');
  }
  return basic;
}

const BASIC = /^Basic +([A-Za-z0-9+/]+={0,2})$/i;

/** Base64, split at the first colon, both parts form-decoded (RFC 6749 §2.3.1). */
function basicCredentials(authorization: string): IdAndSecret {
  const [, encoded] = BASIC.exec(authorization) ?? [];
  const pair = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) throw invalidClient();
  return { clientId: formDecoded(pair.slice(0, colon)), secret: formDecoded(pair.slice(colon + 1)) };
}

const formDecoded = (part: string): string => {
  try {
    return decodeURIComponent(part.replaceAll('+', ' '));
  } catch {
    throw invalidClient();
  }
};
