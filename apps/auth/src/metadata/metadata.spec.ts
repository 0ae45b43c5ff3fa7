import Fastify from 'fastify';
import { metadataRoute } from './metadata.js';

test('a node that knows no issuer of management tokens offers no introspection with one', async () => {
  const fastify = Fastify();
  metadataRoute(fastify, { issuer: 'https://auth.example.com', managementTokens: undefined });
  const { body } = await fastify.inject('/.well-known/oauth-authorization-server');
  expect(JSON.parse(body)).toMatchObject({
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
  });
});
