import type { Logger } from '#platform';
import type { AuthDependencies } from '../dependencies.js';
import type { GatewayCheck } from '../gateway/gateway-check.js';
import { CHECK_PATH } from '../gateway/gateway-request.js';
import { gatewayHandler } from '../gateway/gateway-route.js';
import { type ClientAuthentication, CREDENTIAL_PARAMETERS } from '../login/client-authentication.js';
import type { Login } from '../login/login.js';
import { LOGIN_PARAMETERS, loginAtEndpoint, loginEndpoint } from '../login/login-route.js';
import { type Introspection, introspectionEndpoint } from '../tokens/introspection.js';
import { type Revocation, revocationEndpoint } from '../tokens/revocation.js';
import { jwksHandler, metadataHandler, metadataPath } from '../tokens/well-known.js';
import type { AuthenticationLimits } from './authentication-limits.js';
import type { Handler, Route } from './fast-path.js';
import { type OAuthEndpoint, oauthHandler, refuseOtherMethods } from './oauth-route.js';
import { problemHandler, readOnly } from './problem-route.js';

/** The parts that the handlers of the routes need. */
export interface RouteParts {
  readonly dependencies: Pick<AuthDependencies, 'book' | 'ring' | 'now' | 'issuer' | 'managementTokens' | 'gateway'>;
  readonly logger: Logger;
  readonly limits: AuthenticationLimits;
  readonly authentication: ClientAuthentication;
  readonly login: Login;
  readonly introspection: Introspection;
  readonly revocation: Revocation;
  readonly check: Pick<GatewayCheck, 'check'>;
}

/** All routes of the auth app. At the path of each route, the methods that it lacks are refused. */
export function authRoutes(parts: RouteParts): Route[] {
  const { dependencies, logger, limits, authentication, login, introspection, revocation, check } = parts;
  const { issuer, managementTokens } = dependencies;
  const checked = gatewayHandler({ check, logger, refusals: dependencies.gateway.refusals });
  const oauth = (endpoint: OAuthEndpoint, names: readonly string[]) => oauthHandler(endpoint, names, logger);
  const tokenParameters = [...CREDENTIAL_PARAMETERS, 'token'];

  const routes: Route[] = [
    { method: 'ANY', path: CHECK_PATH, handler: checked },
    { method: 'ANY', path: `${CHECK_PATH}/*`, handler: checked },
    {
      method: 'POST',
      path: '/login',
      handler: oauth(loginEndpoint({ dependencies, login, authentication }), LOGIN_PARAMETERS),
    },
    {
      method: 'POST',
      path: '/:endpointUri/login',
      handler: oauth(loginAtEndpoint({ dependencies, login, authentication }), LOGIN_PARAMETERS),
    },
    {
      method: 'POST',
      path: '/oauth/introspect',
      handler: oauth(
        introspectionEndpoint({ introspection, authentication, limits, managementTokens }),
        tokenParameters,
      ),
    },
    {
      method: 'POST',
      path: '/oauth/revoke',
      handler: oauth(revocationEndpoint({ revocation, authentication }), tokenParameters),
    },
    { method: 'GET', path: '/.well-known/jwks.json', handler: problemHandler(jwksHandler(dependencies), logger) },
    {
      method: 'GET',
      path: metadataPath(issuer),
      handler: problemHandler(metadataHandler({ issuer, managementTokens }), logger),
    },
  ];
  const refusals: Record<Route['method'], Handler[]> = { POST: [refuseOtherMethods], GET: [readOnly(logger)], ANY: [] };
  return routes.flatMap((route) => [
    route,
    ...refusals[route.method].map((handler): Route => ({ method: 'ANY', path: route.path, handler })),
  ]);
}
