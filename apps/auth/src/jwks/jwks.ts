import { hash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { JWKS_MAX_AGE_SECONDS } from '#domain';
import { jwksOf } from '#tokens';
import type { AuthDependencies } from '../dependencies.js';

/** The keys that living tokens may need (RFC 7517), read strongly: a compromised one is gone at once. */
export function jwksRoute(fastify: FastifyInstance, dependencies: AuthDependencies): void {
  fastify.get('/.well-known/jwks.json', async (request, reply) => {
    const { ring, now } = dependencies;
    const body = JSON.stringify(jwksOf(await ring.state(), now()));
    const etag = `"${hash('sha256', body, 'base64url')}"`;
    void reply.header('cache-control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`).header('etag', etag);
    if (isKnown(request, etag)) return reply.status(304).send();
    return reply.header('content-type', 'application/jwk-set+json').send(body);
  });
}

/** By the weak comparison of RFC 9110 §13.1.2. */
const isKnown = ({ headers }: FastifyRequest, etag: string): boolean =>
  (headers['if-none-match'] ?? '').split(',').some((known) => ['*', etag, `W/${etag}`].includes(known.trim()));
