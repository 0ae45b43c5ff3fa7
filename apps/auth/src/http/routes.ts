import type { Logger } from '#platform';
import type { DescribedOperation, DescribedPart } from '#platform/openapi';
import type { AuthDependencies } from '../dependencies.js';
import type { GatewayCheck } from '../gateway/gateway-check.js';
import { gatewayDescription, gatewayOperations } from '../gateway/gateway-description.js';
import { CHECK_PATH } from '../gateway/gateway-request.js';
import { gatewayHandler } from '../gateway/gateway-route.js';
import { type ClientAuthentication, CREDENTIAL_PARAMETERS } from '../login/client-authentication.js';
import type { Login } from '../login/login.js';
import { LOGIN_SCHEMAS, loginAtEndpointOperation, loginOperation } from '../login/login-description.js';
import { LOGIN_PARAMETERS, loginAtEndpoint, loginEndpoint } from '../login/login-route.js';
import { type Introspection, introspectionEndpoint } from '../tokens/introspection.js';
import { type Revocation, revocationEndpoint } from '../tokens/revocation.js';
import { introspectionOperation, revocationOperation, TOKEN_SCHEMAS } from '../tokens/token-descriptions.js';
import { jwksHandler, metadataHandler, metadataOf, metadataPath } from '../tokens/well-known.js';
import { jwksOperation, metadataOperation, WELL_KNOWN_SCHEMAS } from '../tokens/well-known-descriptions.js';
import type { AuthenticationLimits } from './authentication-limits.js';
import type { Handler, Route } from './fast-path.js';
import { oauthDescription } from './oauth-description.js';
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
  readonly counts: AnswerCounts;
}

/** Numbers since the start of the process, which handlers increment in place. */
export interface AnswerCounts {
  /** Gateway checks, by `X-Auth-Code`. */
  readonly checks: Record<string, number>;
  /** Refused OAuth requests, by the path of the route and by the reason. */
  readonly refusals: Record<string, Record<string, number>>;
}

/** A route with its description. */
interface DescribedRoute extends Route {
  readonly operation: DescribedOperation;
}

/** The routes of the auth app, and what the OpenAPI document says about them. */
export interface AuthRoutes {
  readonly routes: readonly Route[];
  readonly descriptions: readonly DescribedPart[];
}

/** All routes of the auth app. At the path of each route, the methods that it lacks are refused. */
export function authRoutes(parts: RouteParts): AuthRoutes {
  const { dependencies, logger, limits, authentication, login, introspection, revocation, check, counts } = parts;
  const { issuer, managementTokens } = dependencies;
  const checked = gatewayHandler({ check, logger, refusals: dependencies.gateway.refusals, counts: counts.checks });
  const oauth = (path: string, endpoint: OAuthEndpoint, names: readonly string[]) =>
    oauthHandler(endpoint, names, { logger, refusals: (counts.refusals[path] ??= {}) });
  const tokenParameters = [...CREDENTIAL_PARAMETERS, 'token'];

  const metadata = metadataOf({ issuer, managementTokens });
  const gateway = gatewayOperations(dependencies);
  const routes: DescribedRoute[] = [
    { method: 'ANY', path: CHECK_PATH, handler: checked, operation: gateway.check },
    { method: 'ANY', path: `${CHECK_PATH}/*`, handler: checked, operation: gateway.checkBelow },
    {
      method: 'POST',
      path: '/login',
      handler: oauth('/login', loginEndpoint({ dependencies, login, authentication }), LOGIN_PARAMETERS),
      operation: loginOperation,
    },
    {
      method: 'POST',
      path: '/:endpointUri/login',
      handler: oauth('/:endpointUri/login', loginAtEndpoint({ dependencies, login, authentication }), LOGIN_PARAMETERS),
      operation: loginAtEndpointOperation,
    },
    {
      method: 'POST',
      path: '/oauth/introspect',
      handler: oauth(
        '/oauth/introspect',
        introspectionEndpoint({ introspection, authentication, limits, managementTokens }),
        tokenParameters,
      ),
      operation: introspectionOperation,
    },
    {
      method: 'POST',
      path: '/oauth/revoke',
      handler: oauth('/oauth/revoke', revocationEndpoint({ revocation, authentication }), tokenParameters),
      operation: revocationOperation,
    },
    {
      method: 'GET',
      path: '/.well-known/jwks.json',
      handler: problemHandler(jwksHandler(dependencies), logger),
      operation: jwksOperation,
    },
    {
      method: 'GET',
      path: metadataPath(issuer),
      handler: problemHandler(metadataHandler(metadata), logger),
      operation: metadataOperation(metadata),
    },
  ];
  const refusals: Record<Route['method'], Handler[]> = { POST: [refuseOtherMethods], GET: [readOnly(logger)], ANY: [] };
  return {
    routes: routes.flatMap((route) => [
      route,
      ...refusals[route.method].map((handler): Route => ({ method: 'ANY', path: route.path, handler })),
    ]),
    descriptions: [
      oauthDescription,
      gatewayDescription,
      { operations: routes.map(described), schemas: { ...LOGIN_SCHEMAS, ...TOKEN_SCHEMAS, ...WELL_KNOWN_SCHEMAS } },
      { server: { url: issuer, description: 'What consumers and gateways call (PUBLIC_URL)' } },
    ],
  };
}

/** The path in the form of OpenAPI. A route for any method is described as `GET`. */
const described = ({ path, method, operation }: DescribedRoute) => ({
  path: path.replace(/:(\w+)/, '{$1}').replace(/\*$/, '{target}'),
  method: method === 'POST' ? ('post' as const) : ('get' as const),
  operation,
});
