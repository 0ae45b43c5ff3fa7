// Sets oidc-provider up as its users do for client_credentials and introspection: with its in-memory adapter, opaque
// tokens, and client secrets in the form body.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import Provider from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

const [{ credentials }] = await once(process, 'message');
const { privateKey } = generateKeyPairSync('ed25519');
const provider = new Provider('http://127.0.0.1', {
  adapter: MemoryAdapter,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'EdDSA' }] },
  cookies: { keys: ['of no one'] },
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
    devInteractions: { enabled: false },
  },
  enabledJWA: { idTokenSigningAlgValues: ['EdDSA'] },
  ttl: { ClientCredentials: 300 },
  clients: credentials.map(({ clientId, clientSecret }) => ({
    client_id: clientId,
    client_secret: clientSecret,
    token_endpoint_auth_method: 'client_secret_post',
    id_token_signed_response_alg: 'EdDSA',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  })),
});
const server = provider.listen(0, '127.0.0.1');
await once(server, 'listening');
process.once('disconnect', () => void server.close());
process.send({ url: `http://127.0.0.1:${server.address().port}` });
