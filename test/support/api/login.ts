import { type Answer, type HttpRequest, send } from './http.js';

export interface LoginAnswer {
  readonly access_token: string;
  readonly token_type: string;
  readonly expires_in: number;
  /** Only OAUTH2 clients receive a refresh token. */
  readonly refresh_token?: string;
  readonly refresh_token_expires_in?: number;
}

/** The body of an error response, as defined by RFC 6749 §5.2. */
export interface OAuthErrorAnswer {
  readonly error: string;
  readonly error_description: string;
}

/** Sends a login request to `/login`, or to `/<endpoint>/login` if there is an `endpoint`. The path is not escaped. */
export const postLogin = (
  url: string,
  endpoint: string | undefined,
  request: HttpRequest,
): Promise<Answer<LoginAnswer>> => send('POST', url, endpoint === undefined ? '/login' : `/${endpoint}/login`, request);

/** Logs in with the body `{"api-key": …}`. */
export const apiKeyLogin = (url: string, apiKey: string, endpoint?: string): Promise<Answer<LoginAnswer>> =>
  postLogin(url, endpoint, { body: { 'api-key': apiKey } });

/** Logs in by client_credentials (RFC 6749 §4.4) with HTTP Basic. */
export const oauthLogin = (
  url: string,
  { clientId, secret }: { readonly clientId: string; readonly secret: string },
  endpoint?: string,
): Promise<Answer<LoginAnswer>> =>
  postLogin(url, endpoint, form({ grant_type: 'client_credentials' }, { authorization: basic(clientId, secret) }));

export const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

/**
 * Makes a request with an `application/x-www-form-urlencoded` body. To repeat a field, pass `fields` as an array of
 * pairs.
 */
export const form = (
  fields: Readonly<Record<string, string>> | readonly (readonly [string, string])[],
  headers: Readonly<Record<string, string>> = {},
): HttpRequest => ({
  headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
  body: Buffer.from(new URLSearchParams(Array.isArray(fields) ? fields : Object.entries(fields)).toString()),
});

/** Returns the error of a refused login. Throws if the login succeeded. */
export const oauthErrorOf = ({ status, text }: Answer<unknown>): OAuthErrorAnswer & { readonly status: number } => {
  if (status < 400) throw new Error(`The login was answered with ${status}`);
  return { status, ...(JSON.parse(text) as OAuthErrorAnswer) };
};
