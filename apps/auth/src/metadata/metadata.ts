import type { FastifyInstance } from 'fastify';
import type { AuthDependencies } from '../dependencies.js';

const BY_SECRET = ['client_secret_basic', 'client_secret_post'];

/** RFC 8414 §2. Each endpoint has a token endpoint of its own besides, at `/{endpointUri}/login`. */
const metadataOf = (issuer: string) => ({
  issuer,
  token_endpoint: `${issuer}/login`,
  introspection_endpoint: `${issuer}/oauth/introspect`,
  revocation_endpoint: `${issuer}/oauth/revoke`,
  jwks_uri: `${issuer}/.well-known/jwks.json`,
  response_types_supported: [],
  grant_types_supported: ['client_credentials', 'refresh_token'],
  token_endpoint_auth_methods_supported: BY_SECRET,
  // A management token authenticates here too, by RFC 6750.
  introspection_endpoint_auth_methods_supported: [...BY_SECRET, 'Bearer'],
  revocation_endpoint_auth_methods_supported: BY_SECRET,
});

/** `GET /.well-known/oauth-authorization-server`, with the issuer's path behind it where it has one (RFC 8414 §3). */
export function metadataRoute(fastify: FastifyInstance, { issuer }: AuthDependencies): void {
  const { pathname } = new URL(issuer);
  const metadata = metadataOf(issuer);
  fastify.get(`/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`, (_request, reply) =>
    reply.header('cache-control', 'public, max-age=300').send(metadata),
  );
}
