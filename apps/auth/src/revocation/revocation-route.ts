import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ClientAuthentication } from '../oauth/client-authentication.js';
import type { OAuthHttpRequest } from '../oauth/oauth-scope.js';
import { required } from '../oauth/parameters.js';
import { apiKeyIn, oauthCredentialsIn } from '../oauth/presented-credentials.js';
import type { Revocation } from './revocation.js';

/** `POST /oauth/revoke` (RFC 7009): for clients of both types. A `token_type_hint` adds nothing: tokens tell. */
export function revocationRoute(
  scope: FastifyInstance,
  revocation: Revocation,
  authentication: ClientAuthentication,
): void {
  scope.post('/oauth/revoke', async (request: OAuthHttpRequest, reply: FastifyReply) => {
    const { body = {}, headers, ip, id } = request;
    const token = required(body, 'token');
    const credentials = apiKeyIn(body, headers.authorization) ?? oauthCredentialsIn(body, headers.authorization);
    const authenticated = await authentication.authenticate(credentials, ip);
    void reply.headers(authenticated.headers);
    await revocation.revoke(token, authenticated.client, id);
    return reply.send();
  });
}
