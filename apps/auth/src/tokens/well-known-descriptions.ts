import {
  type DescribedOperation,
  headersOf,
  jsonResponse,
  NODE_REFUSALS,
  type ProblemCode,
  problemResponses,
  schemaRef,
  type Schemas,
} from '#platform/openapi';

const REFUSALS: readonly ProblemCode[] = [
  ...NODE_REFUSALS,
  'MALFORMED_REQUEST',
  'HEADER_REPEATED',
  'METHOD_NOT_ALLOWED',
  'INTERNAL',
];

const TAG = {
  description: 'For `If-None-Match`',
  required: true,
  schema: { type: 'string' },
  example: '"s0m3-h4sh"',
};

/** Describes `GET /.well-known/jwks.json` (RFC 7517). */
export const jwksOperation: DescribedOperation = {
  operationId: 'getKeys',
  tags: ['OAuth 2'],
  summary: 'The public keys that verify all unexpired tokens (RFC 7517)',
  security: [],
  parameters: [
    {
      name: 'If-None-Match',
      in: 'header',
      description: 'The `ETag` of a known key set; 304 if it has not changed',
      schema: { type: 'string' },
    },
  ],
  responses: {
    200: jsonResponse(
      'The key set',
      schemaRef('KeySet'),
      {
        EdDSA: {
          keys: [
            {
              crv: 'Ed25519',
              x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
              kty: 'OKP',
              kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
              alg: 'EdDSA',
              use: 'sig',
            },
          ],
        },
      },
      { ...headersOf('Cache-Control'), ETag: TAG },
      'application/jwk-set+json',
    ),
    304: { description: 'The caller knows this key set', headers: { ...headersOf('Cache-Control'), ETag: TAG } },
    ...problemResponses([...REFUSALS, 'LOG_UNAVAILABLE', 'LOG_RESTORED', 'HISTORY_MISSING', 'HISTORY_DAMAGED']),
  },
};

/** Describes the metadata of this authorization server (RFC 8414). `metadata` is the body of the answer. */
export const metadataOperation = (metadata: object): DescribedOperation => ({
  operationId: 'getMetadata',
  tags: ['OAuth 2'],
  summary: 'The metadata of this authorization server (RFC 8414)',
  security: [],
  responses: {
    200: jsonResponse('The metadata', schemaRef('ServerMetadata'), { metadata }, headersOf('Cache-Control')),
    ...problemResponses(REFUSALS),
  },
});

const KEY_ATTRIBUTES = {
  kid: { type: 'string', description: 'The RFC 7638 thumbprint of the key' },
  use: { type: 'string', enum: ['sig'] },
};

const strings = (description: string) => ({ type: 'array', items: { type: 'string' }, description });
const url = (description: string) => ({ type: 'string', format: 'uri', description });

export const WELL_KNOWN_SCHEMAS: Schemas = {
  KeySet: {
    type: 'object',
    required: ['keys'],
    properties: { keys: { type: 'array', items: { oneOf: ['Ed25519Key', 'RsaKey'].map(schemaRef) } } },
  },
  Ed25519Key: {
    type: 'object',
    required: ['kty', 'crv', 'x', 'kid', 'alg', 'use'],
    properties: {
      kty: { type: 'string', enum: ['OKP'] },
      crv: { type: 'string', enum: ['Ed25519'] },
      x: { type: 'string' },
      alg: { type: 'string', enum: ['EdDSA'] },
      ...KEY_ATTRIBUTES,
    },
  },
  RsaKey: {
    type: 'object',
    required: ['kty', 'n', 'e', 'kid', 'alg', 'use'],
    properties: {
      kty: { type: 'string', enum: ['RSA'] },
      n: { type: 'string' },
      e: { type: 'string' },
      alg: { type: 'string', enum: ['RS256'] },
      ...KEY_ATTRIBUTES,
    },
  },
  ServerMetadata: {
    type: 'object',
    required: [
      'issuer',
      'token_endpoint',
      'introspection_endpoint',
      'revocation_endpoint',
      'jwks_uri',
      'response_types_supported',
      'grant_types_supported',
      'token_endpoint_auth_methods_supported',
      'introspection_endpoint_auth_methods_supported',
      'revocation_endpoint_auth_methods_supported',
    ],
    properties: {
      issuer: url('The `iss` of all tokens'),
      token_endpoint: url('The login that is limited to no endpoint'),
      introspection_endpoint: url('RFC 7662'),
      revocation_endpoint: url('RFC 7009'),
      jwks_uri: url('The public keys'),
      response_types_supported: strings('None: there is no authorization endpoint'),
      grant_types_supported: strings('`client_credentials` and `refresh_token`'),
      token_endpoint_auth_methods_supported: strings('RFC 8414 §2'),
      introspection_endpoint_auth_methods_supported: strings('RFC 8414 §2'),
      revocation_endpoint_auth_methods_supported: strings('RFC 8414 §2'),
    },
  },
};
