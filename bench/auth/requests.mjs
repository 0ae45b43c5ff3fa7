import { httpRequest } from '../load.mjs';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

const secretsOf = ({ clientId, clientSecret }) => `client_id=${clientId}&client_secret=${clientSecret}`;

/** Returns a login request with the body `{"api-key": …}`. */
export const apiKeyLogin = ({ apiKey }) => httpRequest('POST', '/login', { body: { 'api-key': apiKey } });

/** Returns a login request for client_credentials (RFC 6749 §4.4). The client secret is in the form body. */
export const clientCredentialsLogin = (credential, path = '/login') =>
  httpRequest('POST', path, { headers: FORM, body: `grant_type=client_credentials&${secretsOf(credential)}` });

/** Returns an introspection request (RFC 7662) that a client sends about its own token. */
export const introspection = (credential, token, path = '/oauth/introspect') =>
  httpRequest('POST', path, { headers: FORM, body: `token=${token}&${secretsOf(credential)}` });

/** Returns the request by which a gateway asks whether a call of `endpoint` with this token is allowed. */
export const gatewayCheck = (gatewaySecret, endpoint, token) =>
  httpRequest('GET', '/gateway/check', {
    headers: { 'x-gateway-secret': gatewaySecret, 'x-endpoint-uri': endpoint, authorization: `Bearer ${token}` },
  });
