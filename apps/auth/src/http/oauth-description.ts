import {
  type DescribedPart,
  type HeaderName,
  HEADERS,
  headersOf,
  NODE_REFUSALS,
  problemResponses,
  schemaRef,
  type Schemas,
} from '#platform/openapi';
import {
  invalidClient,
  invalidRequest,
  OAuthError,
  postOnly,
  temporarilyUnavailable,
  tooManyRequests,
} from './oauth-error.js';

type Responses = NonNullable<DescribedPart['operations']>[number]['operation']['responses'];

/** An error of an OAuth endpoint, with the name of the example that shows it. */
export type OAuthErrors = Readonly<Record<string, OAuthError>>;

/** Errors with which every OAuth endpoint may answer. */
const ERRORS_OF_ALL: OAuthErrors = {
  malformed: invalidRequest('The body is not UTF-8'),
  parameterInUrl: invalidRequest('Parameters belong in the body, not in the URL'),
  invalidClient: invalidClient(),
  wrongMethod: postOnly(),
  tooLarge: new OAuthError(413, 'invalid_request', 'The body is too large'),
  notAForm: new OAuthError(415, 'invalid_request', 'The body must be a form or JSON'),
  rateLimited: tooManyRequests('More than 600 of these a minute; wait 12 s', 12),
  fault: new OAuthError(500, 'server_error', 'Something went wrong on our side'),
  logUnavailable: temporarilyUnavailable('The event log can not be reached; try again'),
};

const HEADERS_BY_STATUS: Readonly<Record<number, readonly (HeaderName | 'RateLimit-*')[]>> = {
  401: ['WWW-Authenticate'],
  405: ['Allow'],
  429: ['Retry-After', 'RateLimit-*'],
  503: ['Retry-After'],
};

/** The responses of an OAuth endpoint to errors: one for each status, with an example for each error. */
export function oauthErrorResponses(own: OAuthErrors): Responses {
  const errors = Object.entries({ ...ERRORS_OF_ALL, ...own });
  const statuses = [...new Set(errors.map(([, { status }]) => status))];
  const responses = statuses.map((status) => {
    const ofStatus = errors.filter(([, error]) => error.status === status);
    const codes = [...new Set(ofStatus.map(([, { code }]) => code))];
    return [
      status,
      {
        description: codes.map((code) => `\`${code}\``).join(', '),
        headers: {
          ...headersOf('Cache-Control', ...(HEADERS_BY_STATUS[status] ?? [])),
          // An insufficient scope is the only error with this status, and says which scope is needed.
          ...(status === 403 && { 'WWW-Authenticate': { ...HEADERS['WWW-Authenticate'] } }),
        },
        content: {
          'application/json': {
            schema: schemaRef('OAuthError'),
            examples: Object.fromEntries(
              ofStatus.map(([name, { code, message }]) => [
                name,
                { value: { error: code, error_description: message } },
              ]),
            ),
          },
        },
      },
    ] as const;
  });
  return { ...problemResponses(NODE_REFUSALS), ...Object.fromEntries(responses) };
}

/** Parameters by which a client authenticates in the body. In JSON, `null` and `''` count as absent. */
export const CLIENT_PARAMETERS: Schemas = {
  client_id: {
    type: ['string', 'null'],
    example: 'cc_4fT0kq9wZr1sVb7XyN2mLp',
    description: 'Not beside `Authorization: Basic`',
  },
  client_secret: { type: ['string', 'null'], description: 'Not beside `Authorization: Basic`' },
};

/** Describes the parts that the OAuth endpoints have in common. */
export const oauthDescription: DescribedPart = {
  tags: [{ name: 'OAuth 2', description: 'For consumers: logins, and the state and the end of tokens' }],
  schemas: {
    OAuthError: {
      type: 'object',
      description: 'An error of an OAuth endpoint (RFC 6749 §5.2)',
      required: ['error', 'error_description'],
      properties: {
        error: {
          type: 'string',
          enum: [
            'insufficient_scope',
            'invalid_client',
            'invalid_grant',
            'invalid_request',
            'invalid_token',
            'server_error',
            'temporarily_unavailable',
            'unauthorized_client',
            'unsupported_grant_type',
          ],
        },
        error_description: { type: 'string', description: 'For people' },
      },
    },
  },
  securitySchemes: {
    clientSecretBasic: {
      type: 'http',
      scheme: 'basic',
      description: 'The client id and secret of an OAUTH2 client, both form-encoded (RFC 6749 §2.3.1)',
    },
    managementTokenOfIssuer: {
      type: 'http',
      scheme: 'bearer',
      description: 'A management token. The administrator’s token is accepted at /v1 only',
    },
  },
};
