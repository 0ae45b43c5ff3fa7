import type { ClientAuthentication } from '../oauth/client-authentication.js';
import type { OAuthEndpoint, OAuthRequest } from '../oauth/oauth-route.js';
import type { Login } from './login.js';
import { loginRequest } from './login-request.js';

const OF_ENDPOINT = /^\/([^/]+)\/login$/;

/** `POST /login` and `POST /{endpointUri}/login`: the token endpoints (RFC 6749 §3.2). */
export function loginEndpoints(login: Login, authentication: ClientAuthentication): OAuthEndpoint[] {
  const answer = async (request: OAuthRequest, endpointUri: string | undefined) => {
    const { parameters, authorization, id } = request;
    const { credentials, authenticationType, refreshToken: presented } = loginRequest(parameters, authorization);
    const authenticated = await authentication.authenticate(credentials, request, authenticationType);
    const { access, refreshToken } = await login.login(authenticated, presented, endpointUri, id);
    return {
      access_token: access.token,
      token_type: 'Bearer',
      expires_in: access.expiresIn,
      refresh_token: refreshToken,
    };
  };
  return [
    { pattern: '/login', matches: (path) => path === '/login', answer: (request) => answer(request, undefined) },
    {
      pattern: '/:endpointUri/login',
      matches: (path) => OF_ENDPOINT.test(path),
      answer: (request) => answer(request, OF_ENDPOINT.exec(request.path)?.[1]),
    },
  ];
}
