import type { FastifyInstance, FastifyReply } from 'fastify';
import { InvalidManagementToken, type ManagementPrincipal, type ManagementTokenVerifier } from '#tokens';
import type { ClientAuthentication } from '../oauth/client-authentication.js';
import { insufficientScope, invalidToken } from '../oauth/oauth-error.js';
import type { OAuthHttpRequest } from '../oauth/oauth-scope.js';
import { type Parameters, required } from '../oauth/parameters.js';
import { apiKeyIn, inOneWayOnly, oauthCredentialsIn } from '../oauth/presented-credentials.js';
import type { Introspection, Visibility } from './introspection.js';

/** `POST /oauth/introspect` (RFC 7662): for clients of both types, and for bearers of management tokens. */
export function introspectionRoute(
  scope: FastifyInstance,
  introspection: Introspection,
  authentication: ClientAuthentication,
  managementTokens: ManagementTokenVerifier | undefined,
): void {
  const visibilityOf = async (
    parameters: Parameters,
    request: OAuthHttpRequest,
    reply: FastifyReply,
  ): Promise<Visibility> => {
    const { authorization } = request.headers;
    const [, bearer] = BEARER.exec(authorization ?? '') ?? [];
    if (bearer === undefined) {
      const credentials = apiKeyIn(parameters, authorization) ?? oauthCredentialsIn(parameters, authorization);
      const { client, headers } = await authentication.authenticate(credentials, request.ip);
      void reply.headers(headers);
      return { of: 'CLIENT', client };
    }
    if ('client_secret' in parameters || 'api-key' in parameters) throw inOneWayOnly();
    const { scopes, anyWorkspace, workspaceId } = await principalOf(bearer, managementTokens);
    if (!scopes.has('tokens:introspect')) throw insufficientScope('tokens:introspect');
    return anyWorkspace ? { of: 'ALL' } : { of: 'WORKSPACE', workspaceId };
  };
  scope.post('/oauth/introspect', async (request: OAuthHttpRequest, reply: FastifyReply) => {
    const { body = {} } = request;
    const token = required(body, 'token');
    return introspection.introspect(token, await visibilityOf(body, request, reply));
  });
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i;

async function principalOf(
  bearer: string,
  managementTokens: ManagementTokenVerifier | undefined,
): Promise<ManagementPrincipal> {
  // The administrator's token is no JWT, and good at `/v1` only (CREDENTIALS §6).
  if (!managementTokens || !bearer.includes('.')) throw invalidToken();
  try {
    return await managementTokens.verify(bearer);
  } catch (error) {
    throw error instanceof InvalidManagementToken ? invalidToken() : error;
  }
}
