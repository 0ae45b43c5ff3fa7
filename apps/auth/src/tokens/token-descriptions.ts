import { type DescribedOperation, headersOf, jsonResponse, schemaRef, type Schemas } from '#platform/openapi';
import { CLIENT_PARAMETERS, oauthErrorResponses } from '../http/oauth-description.js';
import { insufficientScope, invalidGrant, invalidRequest, invalidToken, OAuthError } from '../http/oauth-error.js';
import type { IntrospectionAnswer } from './introspection.js';

const EXAMPLE_TOKEN = 'eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJjY180ZlQwIn0.c2lnbmF0dXJl';

const tokenRequest = (examples: Readonly<Record<string, { readonly value: object }>>) => {
  const content = { schema: schemaRef('TokenRequest'), examples };
  return {
    required: true,
    content: { 'application/json': content, 'application/x-www-form-urlencoded': content },
  };
};

const active: IntrospectionAnswer = {
  active: true,
  token_type: 'Bearer',
  iss: 'https://clients.example.com',
  sub: 'cc_4fT0kq9wZr1sVb7XyN2mLp',
  client_id: 'cc_4fT0kq9wZr1sVb7XyN2mLp',
  aud: 'https://clients.example.com/acme-weather',
  iat: 1_764_000_000,
  exp: 1_764_000_300,
  jti: '0f3c1a52-9d41-4a6e-8f0e-2b7c5d6e7f80',
  generation: 1,
  subscription_id: 'acme-weather',
  workspace_id: 'acme',
};

/** Describes `POST /oauth/introspect` (RFC 7662). */
export const introspectionOperation: DescribedOperation = {
  operationId: 'introspectToken',
  tags: ['OAuth 2'],
  summary: 'Whether a token is good now, and whose it is (RFC 7662)',
  description:
    'A client sees its own tokens. A management token with the scope `tokens:introspect` sees the tokens of its ' +
    'workspace, and with `workspaces:any` all tokens. A token that the caller may not see counts as inactive.',
  security: [{}, { clientSecretBasic: [] }, { managementTokenOfIssuer: ['tokens:introspect'] }],
  requestBody: tokenRequest({ token: { value: { token: EXAMPLE_TOKEN } } }),
  responses: {
    200: jsonResponse(
      'What the token is now',
      { oneOf: ['ActiveToken', 'InactiveToken'].map(schemaRef) },
      { active, inactive: { active: false } satisfies IntrospectionAnswer },
      headersOf('Cache-Control', 'RateLimit-*'),
    ),
    ...oauthErrorResponses({
      noToken: invalidRequest('token is needed'),
      invalidToken: invalidToken(),
      insufficientScope: insufficientScope('tokens:introspect'),
      issuerUnavailable: new OAuthError(
        503,
        'temporarily_unavailable',
        'The keys at MANAGEMENT_JWKS_URL are not to be had',
      ),
    }),
  },
};

/** Describes `POST /oauth/revoke` (RFC 7009). */
export const revocationOperation: DescribedOperation = {
  operationId: 'revokeToken',
  tags: ['OAuth 2'],
  summary: 'End a token of the calling client (RFC 7009)',
  description:
    'With a refresh token, all tokens of its login end. A text that is no token is answered with 200, too ' +
    '(RFC 7009 §2.2).',
  security: [{}, { clientSecretBasic: [] }],
  requestBody: tokenRequest({ token: { value: { token: EXAMPLE_TOKEN } } }),
  responses: {
    200: { description: 'No node accepts the token any more', headers: headersOf('Cache-Control', 'RateLimit-*') },
    ...oauthErrorResponses({ noToken: invalidRequest('token is needed'), otherClient: invalidGrant() }),
  },
};

export const TOKEN_SCHEMAS: Schemas = {
  TokenRequest: {
    type: 'object',
    required: ['token'],
    properties: {
      token: { type: 'string', minLength: 1 },
      token_type_hint: { description: 'Ignored: the token itself shows its type' },
      'api-key': { type: ['string', 'null'], description: 'By which an API_KEY client authenticates' },
      ...CLIENT_PARAMETERS,
    },
    additionalProperties: true,
  },
  ActiveToken: {
    type: 'object',
    required: ['active', 'iss', 'sub', 'client_id', 'iat', 'exp', 'generation', 'workspace_id'],
    properties: {
      active: { type: 'boolean', enum: [true] },
      token_type: { type: 'string', enum: ['Bearer'], description: 'Absent for refresh tokens' },
      iss: { type: 'string', format: 'uri' },
      sub: { type: 'string' },
      client_id: { type: 'string' },
      aud: { type: 'string', description: 'Absent for refresh tokens' },
      iat: { type: 'integer', description: 'Seconds since 1970' },
      exp: { type: 'integer', description: 'Seconds since 1970' },
      jti: { type: 'string', description: 'Absent for refresh tokens' },
      generation: { type: 'integer', minimum: 1, description: 'Of the credential with which the login was made' },
      subscription_id: { type: 'string', description: 'Only if the token is good at one endpoint' },
      workspace_id: { type: 'string' },
    },
  },
  InactiveToken: {
    type: 'object',
    required: ['active'],
    properties: { active: { type: 'boolean', enum: [false] } },
  },
};
