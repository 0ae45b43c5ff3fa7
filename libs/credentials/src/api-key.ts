import { type ClientId, isClientId } from '#domain';
import { isSecret } from './secret.js';

export interface ClientCredentials {
  readonly clientId: ClientId;
  readonly secret: string;
}

/** The API key of a client: base64 of `clientId:secret`. */
export const apiKeyOf = (clientId: ClientId, secret: string): string =>
  Buffer.from(`${clientId}:${secret}`).toString('base64');

/**
 * What an API key is made of, or `undefined` if it has not exactly the form that `apiKeyOf` gives: canonical base64
 * (RFC 4648 §4, padded, §3.5), split at the first colon, both parts well-formed. Whether it is valid is another question.
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
