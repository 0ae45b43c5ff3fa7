import { type Answer, send } from './http.js';
import { type LoginAnswer, basic, form, postLogin } from './login.js';

/** An OAUTH2 client with its secret, or an API_KEY client with the secret inside its key. */
export interface ClientSecret {
  readonly clientId: string;
  readonly secret: string;
}

/** RFC 7662 §2.2. */
export interface IntrospectionAnswer extends Record<string, unknown> {
  readonly active: boolean;
}

export const INACTIVE = '{"active":false}';

/** The client's `Authorization` header. */
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

/** The refresh token of a login. Throws where there is none. */
export function refreshTokenOf({ body }: Answer<LoginAnswer>): string {
  if (body.refresh_token === undefined) throw new Error('No refresh token was issued');
  return body.refresh_token;
}

/** The client of an API key, as it authenticates by HTTP Basic. */
export function clientOfKey(apiKey: string): ClientSecret {
  const [clientId = '', secret = ''] = Buffer.from(apiKey, 'base64').toString().split(':');
  return { clientId, secret };
}
