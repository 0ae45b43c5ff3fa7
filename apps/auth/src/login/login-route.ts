import { type AuthenticationType, isEndpointUri } from '#domain';
import { loggedPath } from '#platform';
import type { AuthDependencies } from '../dependencies.js';
import { invalidRequest, OAuthError } from '../http/oauth-error.js';
import type { OAuthEndpoint, OAuthRequest } from '../http/oauth-route.js';
import { type Parameters, required } from '../http/parameters.js';
import {
  apiKeyIn,
  type ClientAuthentication,
  CREDENTIAL_PARAMETERS,
  inOneWayOnly,
  oauthCredentialsIn,
  type PresentedCredentials,
} from './client-authentication.js';
import { RequestedEndpoint } from './endpoint-owner.js';
import type { IssuedTokens, Login } from './login.js';

/** The parts that the token endpoints (RFC 6749 §3.2) need. */
interface LoginParts {
  readonly dependencies: Pick<AuthDependencies, 'book'>;
  readonly login: Login;
  readonly authentication: ClientAuthentication;
}

/** The parameters that the token endpoints read. */
export const LOGIN_PARAMETERS = [...CREDENTIAL_PARAMETERS, 'grant_type', 'refresh_token'];

/** `POST /login` issues tokens that are not limited to one endpoint. */
export const loginEndpoint =
  (parts: LoginParts): OAuthEndpoint =>
  (request) =>
    tokenAnswer(request, undefined, parts);

/** `POST /{endpointUri}/login` issues tokens that are limited to one endpoint. */
export const loginAtEndpoint =
  (parts: LoginParts): OAuthEndpoint =>
  (request) => {
    const uri = request.path.split('/', 2)[1] ?? '';
    request.facts.endpoint = isEndpointUri(uri) ? uri : loggedPath(uri);
    return tokenAnswer(request, new RequestedEndpoint(parts.dependencies.book, uri), parts);
  };

/** Returns the body of a successful answer, as in RFC 6749 §5.1. */
async function tokenAnswer(
  request: OAuthRequest,
  endpoint: RequestedEndpoint | undefined,
  { login, authentication }: LoginParts,
): Promise<string> {
  const { parameters, authorization, id } = request;
  const { credentials, authenticationType, refreshToken: presented } = loginRequest(parameters, authorization);
  const options = { authenticationType, alongside: endpoint };
  const authenticated = await authentication.authenticate(credentials, request, options);
  return tokensAsJson(await login.login(authenticated, presented, endpoint, id));
}

/**
 * Tokens consist of base64url and dots, which JSON need not escape. `JSON.stringify` would look for such characters for
 * two microseconds.
 */
function tokensAsJson({ access, refresh }: IssuedTokens): string {
  const more = refresh ? `,"refresh_token":"${refresh.token}","refresh_token_expires_in":${refresh.expiresIn}` : '';
  return `{"access_token":"${access.token}","token_type":"Bearer","expires_in":${access.expiresIn}${more}}`;
}

/** The parts of a login request. Only the form of each part has been checked. */
interface LoginRequest {
  readonly credentials: PresentedCredentials;
  readonly authenticationType: AuthenticationType;
  /** Present only if the request refreshes tokens instead of starting a new login. */
  readonly refreshToken?: string;
}

/**
 * Parses one of three kinds of login request: `{"api-key": …}`, `client_credentials` (RFC 6749 §4.4) or `refresh_token`
 * (RFC 6749 §6). RFC 6749 §3.2 requires that unknown parameters are ignored. Throws `OAuthError`.
 */
function loginRequest(parameters: Parameters, authorization: string | undefined): LoginRequest {
  const { grant_type: grantType } = parameters;
  if ('api-key' in parameters) {
    if (grantType !== undefined) throw inOneWayOnly();
    return { credentials: apiKeyIn(parameters, authorization), authenticationType: 'API_KEY' };
  }
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
