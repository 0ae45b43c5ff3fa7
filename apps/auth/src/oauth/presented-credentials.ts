import { parseApiKey } from '#credentials';
import { invalidRequest } from './oauth-error.js';
import type { Parameters } from './parameters.js';

/** The client that a request says it comes from. Only the form was looked at. */
export interface PresentedCredentials {
  readonly clientId: string;
  readonly secret: string;
}

/** In place of what is missing or has no form: refused, and counted, like any made-up credentials. */
const NOBODY: PresentedCredentials = { clientId: '', secret: '' };

/** Of a client of either type. Throws `OAuthError`. */
export const presentedCredentials = (parameters: Parameters, authorization: string | undefined): PresentedCredentials =>
  apiKeyIn(parameters, authorization) ?? oauthCredentialsIn(parameters, authorization);

/** Parameter `api-key`, where it is there. Throws `OAuthError`. */
export function apiKeyIn(parameters: Parameters, authorization: string | undefined): PresentedCredentials | undefined {
  const apiKey = parameters['api-key'];
  if (apiKey === undefined) return undefined;
  if (authorization !== undefined || 'client_secret' in parameters) throw inOneWayOnly();
  return parseApiKey(apiKey) ?? NOBODY;
}

/** The client's id and secret by HTTP Basic or in the body, never both (RFC 6749 §2.3.1). Throws `OAuthError`. */
export function oauthCredentialsIn(parameters: Parameters, authorization: string | undefined): PresentedCredentials {
  const { client_id: clientId, client_secret: secret } = parameters;
  if (authorization === undefined) {
    return clientId === undefined || secret === undefined ? NOBODY : { clientId, secret };
  }
  if (secret !== undefined) throw inOneWayOnly();
  const basic = basicCredentials(authorization);
  if (!basic) return NOBODY;
  if (clientId !== undefined && clientId !== basic.clientId) {
    throw invalidRequest('client_id is not the one that authenticates');
  }
  return basic;
}

export const inOneWayOnly = () => invalidRequest('The client must authenticate in one way only');

const BASIC = /^Basic +([A-Za-z0-9+/]+={0,2})$/i;

/** Base64, split at the first colon, both parts form-decoded (RFC 6749 §2.3.1). */
function basicCredentials(authorization: string): PresentedCredentials | undefined {
  const [, encoded] = BASIC.exec(authorization) ?? [];
  const pair = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) return undefined;
  const clientId = formDecoded(pair.slice(0, colon));
  const secret = formDecoded(pair.slice(colon + 1));
  return clientId === undefined || secret === undefined ? undefined : { clientId, secret };
}

const formDecoded = (part: string): string | undefined => {
  try {
    return decodeURIComponent(part.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
};
