import { type DescribedOperation, type DescribedPart, headersOf, jsonResponse, schemaRef } from '#platform/openapi';
import { CLIENT_PARAMETERS, oauthErrorResponses } from '../http/oauth-description.js';
import { invalidGrant, invalidRequest, OAuthError, unauthorizedClient } from '../http/oauth-error.js';

const REQUESTS = ['ApiKeyLogin', 'ClientCredentialsLogin', 'RefreshLogin'];
const REQUEST = { oneOf: REQUESTS.map(schemaRef) };

const EXAMPLES = {
  apiKey: { value: { 'api-key': 'Y2NfNGZUMGtxOXdacjFzVmI3WHlOMm1McDpjY3Nf4oCm' } },
  clientCredentials: {
    value: { grant_type: 'client_credentials', client_id: 'cc_4fT0kq9wZr1sVb7XyN2mLp', client_secret: 'ccs_Example' },
  },
  refresh: {
    value: {
      grant_type: 'refresh_token',
      refresh_token: 'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..c29tZQ.dG9rZW4.dGFn',
      client_id: 'cc_4fT0kq9wZr1sVb7XyN2mLp',
      client_secret: 'ccs_Example',
    },
  },
};

const ACCESS_TOKEN = 'eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJjY180ZlQwIn0.c2lnbmF0dXJl';

const login = (operation: Pick<DescribedOperation, 'operationId' | 'summary' | 'parameters'>): DescribedOperation => ({
  ...operation,
  tags: ['OAuth 2'],
  description:
    'With an API key, the answer is the client’s static token, which stays the same for a year. With a client id and ' +
    'secret (in the body or as HTTP Basic), it is an access token and a refresh token. A token expires earlier if the ' +
    'credential has an `expiresAt` that is earlier when the token is issued. Unknown parameters are ignored.',
  // The credentials are in the body, or in HTTP Basic.
  security: [{}, { clientSecretBasic: [] }],
  requestBody: {
    required: true,
    content: {
      'application/json': { schema: REQUEST, examples: EXAMPLES },
      'application/x-www-form-urlencoded': { schema: REQUEST, examples: EXAMPLES },
    },
  },
  responses: {
    200: jsonResponse(
      'Tokens (RFC 6749 §5.1)',
      { oneOf: ['StaticTokenAnswer', 'TokenPairAnswer'].map(schemaRef) },
      {
        apiKey: { access_token: ACCESS_TOKEN, token_type: 'Bearer', expires_in: 31_536_000 },
        clientCredentials: {
          access_token: ACCESS_TOKEN,
          token_type: 'Bearer',
          expires_in: 300,
          refresh_token: EXAMPLES.refresh.value.refresh_token,
          refresh_token_expires_in: 1800,
        },
      },
      headersOf('Cache-Control', 'RateLimit-*'),
    ),
    ...oauthErrorResponses({
      noCredentials: invalidRequest('api-key or grant_type is needed'),
      invalidGrant: invalidGrant(),
      notAssigned: unauthorizedClient(),
      unknownGrantType: new OAuthError(
        400,
        'unsupported_grant_type',
        'grant_type must be client_credentials or refresh_token',
      ),
    }),
  },
});

/** Describes `POST /login`. */
export const loginOperation = login({
  operationId: 'logIn',
  summary: 'Log in, or refresh tokens; the tokens are good at every endpoint that is assigned to the client',
});

/** Describes `POST /{endpointUri}/login`. */
export const loginAtEndpointOperation = login({
  operationId: 'logInAtEndpoint',
  summary: 'Log in, or refresh tokens; the tokens are good at this endpoint only',
  parameters: [
    {
      name: 'endpointUri',
      in: 'path',
      required: true,
      description: 'The endpoint URI of a subscription that is assigned to the client',
      schema: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{2,62}$' },
      example: 'acme-weather',
    },
  ],
});

/** The schemas of logins. Unknown parameters of a request are ignored (RFC 6749 §3.2). */
export const LOGIN_SCHEMAS: DescribedPart['schemas'] = {
  ApiKeyLogin: {
    type: 'object',
    description: 'The login of an API_KEY client',
    required: ['api-key'],
    properties: { 'api-key': { type: 'string', minLength: 1, description: 'The API key, as it was shown' } },
    additionalProperties: true,
  },
  ClientCredentialsLogin: {
    type: 'object',
    description: 'The login of an OAUTH2 client (RFC 6749 §4.4)',
    required: ['grant_type'],
    properties: { grant_type: { type: 'string', enum: ['client_credentials'] }, ...CLIENT_PARAMETERS },
    additionalProperties: true,
  },
  RefreshLogin: {
    type: 'object',
    description: 'New tokens for a refresh token (RFC 6749 §6)',
    required: ['grant_type', 'refresh_token'],
    properties: {
      grant_type: { type: 'string', enum: ['refresh_token'] },
      refresh_token: { type: 'string', minLength: 1 },
      ...CLIENT_PARAMETERS,
    },
    additionalProperties: true,
  },
  StaticTokenAnswer: {
    type: 'object',
    description: 'The token of an API_KEY client',
    required: ['access_token', 'token_type', 'expires_in'],
    properties: {
      access_token: { type: 'string', description: 'A JWT (RFC 9068)' },
      token_type: { type: 'string', enum: ['Bearer'] },
      expires_in: { type: 'integer', minimum: 1, description: 'Seconds' },
    },
  },
  TokenPairAnswer: {
    type: 'object',
    description: 'The tokens of an OAUTH2 client',
    required: ['access_token', 'token_type', 'expires_in', 'refresh_token', 'refresh_token_expires_in'],
    properties: {
      access_token: { type: 'string', description: 'A JWT (RFC 9068)' },
      token_type: { type: 'string', enum: ['Bearer'] },
      expires_in: { type: 'integer', minimum: 1, description: 'Seconds' },
      refresh_token: { type: 'string', description: 'Opaque' },
      refresh_token_expires_in: { type: 'integer', minimum: 1, description: 'Seconds' },
    },
  },
};
