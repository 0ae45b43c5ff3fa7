import { type ClientId, isClientId } from '#domain';
import { isSecret } from './secret.js';

export interface ClientCredentials {
  readonly clientId: ClientId;
  readonly secret: string;
}

/** Returns the API key of a client: base64 of `clientId:secret`. */
export const apiKeyOf = (clientId: ClientId, secret: string): string =>
  Buffer.from(`${clientId}:${secret}`).toString('base64');

/**
 * Returns the client id and secret in an API key. Returns `undefined` unless the text has exactly the form that
 * `apiKeyOf` gives: canonical base64 with padding (RFC 4648 §3.5 and §4) of two well-formed parts, separated by the
 * first colon. Does not verify the secret.
 */
export function parseApiKey(apiKey: string): ClientCredentials | undefined {
  const bytes = Buffer.from(apiKey, 'base64');
  if (bytes.toString('base64') !== apiKey) return undefined;
  const text = bytes.toString('latin1');
  const colon = text.indexOf(':');
  const clientId = text.slice(0, colon);
  const secret = text.slice(colon + 1);
  return isClientId(clientId) && isSecret(secret) ? { clientId, secret } : undefined;
}
