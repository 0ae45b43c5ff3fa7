import { type Answer, send } from './http.js';
import { basic, form, type LoginAnswer, postLogin } from './login.js';

/** A client's id and secret. The API key of an API_KEY client contains both. */
export interface ClientSecret {
  readonly clientId: string;
  readonly secret: string;
}

/** The body of an introspection response, as defined by RFC 7662 §2.2. */
export interface IntrospectionAnswer extends Record<string, unknown> {
  readonly active: boolean;
}

export const INACTIVE = '{"active":false}';

/** Returns the `Authorization` header (HTTP Basic) of the client. */
export const basicOf = ({ clientId, secret }: ClientSecret) => ({ authorization: basic(clientId, secret) });

export const refresh = (
  url: string,
  client: ClientSecret,
  refreshToken: string,
  endpoint?: string,
): Promise<Answer<LoginAnswer>> =>
  postLogin(url, endpoint, form({ grant_type: 'refresh_token', refresh_token: refreshToken }, basicOf(client)));

export const introspect = (
  url: string,
  token: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answer<IntrospectionAnswer>> => send('POST', url, '/oauth/introspect', form({ token }, headers));

export const revokeToken = (
  url: string,
  token: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answer<unknown>> => send('POST', url, '/oauth/revoke', form({ token }, headers));

/** Returns the refresh token of a login. Throws if the response contains no refresh token. */
export function refreshTokenOf({ body }: Answer<LoginAnswer>): string {
  if (body.refresh_token === undefined) throw new Error('No refresh token was issued');
  return body.refresh_token;
}

/** Returns the client id and the secret that an API key contains. */
export function clientOfKey(apiKey: string): ClientSecret {
  const [clientId = '', secret = ''] = Buffer.from(apiKey, 'base64').toString().split(':');
  return { clientId, secret };
}
