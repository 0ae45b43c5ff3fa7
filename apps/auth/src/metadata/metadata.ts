import type { FastifyInstance } from 'fastify';
import type { AuthDependencies } from '../dependencies.js';

type MetadataSource = Pick<AuthDependencies, 'issuer' | 'managementTokens'>;

const BY_SECRET = ['client_secret_basic', 'client_secret_post'];

/** RFC 8414 §2. Each endpoint has a token endpoint of its own besides, at `/{endpointUri}/login`. */
const metadataOf = ({ issuer, managementTokens }: MetadataSource) => ({
  issuer,
  token_endpoint: `${issuer}/login`,
  introspection_endpoint: `${issuer}/oauth/introspect`,
  revocation_endpoint: `${issuer}/oauth/revoke`,
  jwks_uri: `${issuer}/.well-known/jwks.json`,
  response_types_supported: [],
  grant_types_supported: ['client_credentials', 'refresh_token'],
  token_endpoint_auth_methods_supported: BY_SECRET,
  // A management token authenticates here too, by RFC 6750, where its issuer is known.
  introspection_endpoint_auth_methods_supported: managementTokens ? [...BY_SECRET, 'Bearer'] : BY_SECRET,
  revocation_endpoint_auth_methods_supported: BY_SECRET,
});

/** `GET /.well-known/oauth-authorization-server`, with the issuer's path behind it where it has one (RFC 8414 §3). */
export function metadataRoute(fastify: FastifyInstance, source: MetadataSource): void {
  const { pathname } = new URL(source.issuer);
  const metadata = metadataOf(source);
  fastify.get(`/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`, (_request, reply) =>
    reply.header('cache-control', 'public, max-age=300').send(metadata),
  );
}
