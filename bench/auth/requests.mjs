import { httpRequest } from '../load.mjs';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

const secretsOf = ({ clientId, clientSecret }) => `client_id=${clientId}&client_secret=${clientSecret}`;

/** `{"api-key": …}`. */
export const apiKeyLogin = ({ apiKey }) => httpRequest('POST', '/login', { body: { 'api-key': apiKey } });

/** RFC 6749 §4.4, the secret in the form. */
export const clientCredentialsLogin = (credential, path = '/login') =>
  httpRequest('POST', path, { headers: FORM, body: `grant_type=client_credentials&${secretsOf(credential)}` });

/** RFC 7662, by a client of a token of its own. */
export const introspection = (credential, token, path = '/oauth/introspect') =>
  httpRequest('POST', path, { headers: FORM, body: `token=${token}&${secretsOf(credential)}` });

/** What a gateway asks about a call of `endpoint`. */
export const gatewayCheck = (gatewaySecret, endpoint, token) =>
  httpRequest('GET', '/gateway/check', {
    headers: { 'x-gateway-secret': gatewaySecret, 'x-endpoint-uri': endpoint, authorization: `Bearer ${token}` },
  });
