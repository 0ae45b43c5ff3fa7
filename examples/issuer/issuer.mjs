/**
 * An issuer of management tokens for development: portal backends get JWTs by `client_credentials` (RFC 6749 §4.4),
 * with the claims that docs/management-tokens.md describes. Keys and clients live in memory only.
 *
 * Environment: ISSUER (URL by which the service knows it), HOST, PORT, AUDIENCE, ISSUER_CLIENT_SECRET (default: a new
 * one, which is printed).
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import Provider from 'oidc-provider';

const { HOST = '127.0.0.1', PORT = '4000', AUDIENCE = 'consumer-clients' } = process.env;
const { ISSUER = `http://127.0.0.1:${PORT}` } = process.env;
const secret = process.env.ISSUER_CLIENT_SECRET || randomBytes(32).toString('base64url');

const PORTAL = 'clients:write clients:read subscriptions:write';
const SCOPES = `${PORTAL} audit:read analytics:read tokens:introspect workspaces:any`;
/** The clients of this issuer. The claim `workspace_id` of their tokens comes from here. */
const CLIENTS = [
  { client_id: 'portal-backend', workspace_id: 'acme', scope: PORTAL },
  { client_id: 'auditor', workspace_id: 'acme', scope: 'audit:read' },
  { client_id: 'operator', scope: SCOPES },
];

const { privateKey } = generateKeyPairSync('ed25519');
const provider = new Provider(ISSUER, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'EdDSA' }] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  scopes: SCOPES.split(' '),
  enabledJWA: { idTokenSigningAlgValues: ['EdDSA'] },
  extraClientMetadata: { properties: ['workspace_id'] },
  extraTokenClaims: (_context, { client }) => client.workspace_id && { workspace_id: client.workspace_id },
  ttl: { ClientCredentials: 600 },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    // Without a resource, the tokens would be opaque.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:consumer-clients',
      getResourceServerInfo: () => ({
        ...{ scope: SCOPES, audience: AUDIENCE },
        ...{ accessTokenFormat: 'jwt', jwt: { sign: { alg: 'EdDSA' } } },
      }),
    },
  },
  clients: CLIENTS.map((client) => ({
    ...client,
    client_secret: secret,
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'EdDSA',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  })),
});

const server = provider.listen(Number(PORT), HOST);
await once(server, 'listening');
console.log(`Issuer ${ISSUER} at http://${HOST}:${server.address().port}`);
console.log(
  `Clients ${CLIENTS.map(({ client_id }) => client_id).join(', ')}; secret ${process.env.ISSUER_CLIENT_SECRET ? 'as given' : secret}`,
);
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));
