import type { FastifyInstance } from 'fastify';
import { JWKS_MAX_AGE_SECONDS } from '#domain';
import { jwksOf } from '#tokens';
import type { AuthDependencies } from '../dependencies.js';

/** The keys that living tokens may need (RFC 7517), read strongly: a compromised one is gone at once. */
export function jwksRoute(fastify: FastifyInstance, dependencies: AuthDependencies): void {
  fastify.get('/.well-known/jwks.json', async (_request, reply) => {
    const { ring, clock } = dependencies;
    return reply
      .header('content-type', 'application/jwk-set+json')
      .header('cache-control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`)
      .send(JSON.stringify(jwksOf(await ring.state(), clock().toISOString())));
  });
}
