import { InvalidManagementToken, type ManagementPrincipal, type ManagementTokenVerifier } from '#tokens';
import type { AuthenticationLimits } from '../oauth/authentication-limits.js';
import type { ClientAuthentication } from '../oauth/client-authentication.js';
import { insufficientScope, invalidToken } from '../oauth/oauth-error.js';
import type { OAuthEndpoint, OAuthRequest } from '../oauth/oauth-route.js';
import { required } from '../oauth/parameters.js';
import { inOneWayOnly, presentedCredentials } from '../oauth/presented-credentials.js';
import type { Introspection, Visibility } from './introspection.js';

/** `POST /oauth/introspect` (RFC 7662): for clients of both types, and for bearers of management tokens. */
export function introspectionEndpoint(
  introspection: Introspection,
  authentication: ClientAuthentication,
  limits: AuthenticationLimits,
  managementTokens: ManagementTokenVerifier | undefined,
): OAuthEndpoint {
  const visibilityOf = async (request: OAuthRequest): Promise<Visibility> => {
    const { parameters, authorization } = request;
    const [, bearer] = BEARER.exec(authorization ?? '') ?? [];
    if (bearer === undefined) {
      const credentials = presentedCredentials(parameters, authorization);
      return { of: 'CLIENT', client: (await authentication.authenticate(credentials, request)).client };
    }
    if ('client_secret' in parameters || 'api-key' in parameters) throw inOneWayOnly();
    const principal = await principalOf(bearer, managementTokens);
    if (!principal) throw limits.madeUpRefusal(request.address(), invalidToken());
    const { scopes, anyWorkspace, workspaceId } = principal;
    if (!scopes.has('tokens:introspect')) throw insufficientScope('tokens:introspect');
    return anyWorkspace ? { of: 'ALL' } : { of: 'WORKSPACE', workspaceId };
  };
  return {
    pattern: '/oauth/introspect',
    matches: (path) => path === '/oauth/introspect',
    answer: async (request) => {
      const token = required(request.parameters, 'token');
      return introspection.introspect(token, await visibilityOf(request));
    },
  };
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i;

async function principalOf(
  bearer: string,
  managementTokens: ManagementTokenVerifier | undefined,
): Promise<ManagementPrincipal | undefined> {
  // The administrator's token is no JWT, and good at `/v1` only.
  if (!managementTokens || !bearer.includes('.')) return undefined;
  try {
    return await managementTokens.verify(bearer);
  } catch (error) {
    if (error instanceof InvalidManagementToken) return undefined;
    throw error;
  }
}
