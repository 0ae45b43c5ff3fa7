import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ClientAuthentication } from '../oauth/client-authentication.js';
import type { OAuthHttpRequest } from '../oauth/oauth-scope.js';
import type { Login } from './login.js';
import { loginRequest } from './login-request.js';

/** `POST /login` and `POST /{endpointUri}/login`: the token endpoints (RFC 6749 §3.2). */
export function loginRoutes(scope: FastifyInstance, login: Login, authentication: ClientAuthentication): void {
  const handler = async (request: OAuthHttpRequest<{ endpointUri?: string }>, reply: FastifyReply) => {
    const { body = {}, headers, params, ip, id } = request;
    const { credentials, authenticationType, refreshToken: presented } = loginRequest(body, headers.authorization);
    const authenticated = await authentication.authenticate(credentials, ip, authenticationType);
    void reply.headers(authenticated.headers);
    const { access, refreshToken } = await login.login(authenticated, presented, params.endpointUri, id);
    return reply.send({
      access_token: access.token,
      token_type: 'Bearer',
      expires_in: access.expiresIn,
      refresh_token: refreshToken,
    });
  };
  scope.post('/login', handler);
  scope.post('/:endpointUri/login', handler);
}
