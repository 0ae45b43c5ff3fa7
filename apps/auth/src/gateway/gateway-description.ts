import {
  type DescribedOperation,
  type DescribedPart,
  headersOf,
  NODE_REFUSALS,
  problemResponses,
} from '#platform/openapi';
import type { AuthDependencies } from '../dependencies.js';
import type { CheckAnswer } from './gateway-check.js';

/** All values of `X-Auth-Code`, with their meanings. */
type AuthCode = CheckAnswer['code'] | 'MALFORMED_REQUEST' | 'UNAVAILABLE';

const AUTH_CODES: Readonly<Record<AuthCode, string>> = {
  GOOD: 'The call may pass',
  NO_TOKEN: 'The call has no token',
  NOT_A_TOKEN: 'The token is not one of this service, or was changed',
  EXPIRED: 'The token has expired',
  NOT_YET_VALID: 'The token is not valid yet',
  OTHER_ISSUER: 'The token was issued under another PUBLIC_URL',
  OTHER_AUDIENCE: 'The token is good at another endpoint',
  OTHER_SUBSCRIPTION: 'The endpoint belongs to another subscription than the token',
  NOT_ASSIGNED: 'The client is not assigned to the endpoint’s subscription',
  SUBSCRIPTION_NOT_LIVE: 'The subscription has ended, or was never registered',
  CLIENT_NOT_ACTIVE: 'The client is revoked',
  GENERATION_ENDED: 'The credential with which the token was got is not good any more',
  TOKEN_REVOKED: 'The token was revoked',
  SIGNING_KEY_COMPROMISED: 'The key that signed the token was declared compromised',
  NOT_A_GATEWAY: 'The gateway secret is missing or wrong',
  NOT_AN_ENDPOINT: 'The call names no endpoint URI',
  HEADER_REPEATED: 'A header that must be given once was given twice',
  MALFORMED_REQUEST: 'The request breaks HTTP itself',
  UNAVAILABLE: 'The call can’t be checked now. It must not pass',
};

const CODE_TABLE = Object.entries(AUTH_CODES)
  .map(([code, meaning]) => `| \`${code}\` | ${meaning} |`)
  .join('\n');

const identityHeader = (description: string, example: string) => ({
  description,
  required: true,
  schema: { type: 'string' },
  example,
});

/** Describes the gateway check, in the form that the configuration of this process gives it. */
export function gatewayOperations({ gateway }: Pick<AuthDependencies, 'gateway'>) {
  const { uriFrom, tokenHeader, refusals } = gateway;
  const check = (operationId: string, more: DescribedOperation['parameters'] = []): DescribedOperation => ({
    operationId,
    tags: ['Gateways'],
    summary: 'Whether a call may pass to the provider (forward-auth)',
    description:
      'Every method is the same, because gateways ask with the method of the call. The body is ignored. Send the ' +
      `client’s token as it came.\n\n| \`X-Auth-Code\` | meaning |\n|---|---|\n${CODE_TABLE}`,
    security: [{ gatewaySecret: [] }],
    parameters: [
      ...more,
      {
        name: tokenHeader,
        in: 'header',
        description: 'The consumer’s token, with or without `Bearer`. If it is missing, `Authorization: Bearer` counts',
        schema: { type: 'string' },
      },
      ...(uriFrom === 'path'
        ? []
        : [
            {
              name: uriFrom === 'header' ? 'X-Endpoint-Uri' : uriFrom,
              in: 'header' as const,
              description:
                uriFrom === 'header' ? 'The endpoint URI that the consumer calls' : 'The request target of the call',
              schema: { type: 'string' },
              example: uriFrom === 'header' ? 'acme-weather' : '/acme-weather/v1/forecast',
            },
          ]),
    ],
    responses: {
      200: {
        description: 'The call may pass. The gateway hands the `X-Consumer-…` headers to the provider',
        headers: {
          ...headersOf('Cache-Control', 'X-Auth-Code'),
          'X-Consumer-Client-Id': identityHeader('The client', 'cc_4fT0kq9wZr1sVb7XyN2mLp'),
          'X-Consumer-Workspace-Id': identityHeader('The client’s workspace', 'acme'),
          'X-Consumer-Subscription-Id': identityHeader('The subscription of the called endpoint', 'acme-weather'),
        },
      },
      401: {
        description:
          refusals === 'rfc6750'
            ? 'There is no token, or it is not good: get a new one'
            : 'There is no token (`NO_TOKEN`). With `GATEWAY_REFUSALS=rfc6750` also if the token is not good',
        headers: headersOf('Cache-Control', 'X-Auth-Code', 'WWW-Authenticate'),
      },
      403: { description: 'The call must not pass', headers: headersOf('Cache-Control', 'X-Auth-Code') },
      503: {
        description: 'The call can’t be checked now, and must not pass',
        headers: headersOf('Cache-Control', 'X-Auth-Code'),
      },
      ...problemResponses(NODE_REFUSALS),
    },
  });
  return {
    check: check('checkCall'),
    checkBelow: check('checkCallByPath', [
      {
        name: 'target',
        in: 'path',
        required: true,
        description: 'With `GATEWAY_URI_FROM=path`: the path of the call, which may contain slashes',
        schema: { type: 'string', minLength: 1 },
        example: 'acme-weather/v1/forecast',
      },
    ]),
  };
}

export const gatewayDescription: DescribedPart = {
  tags: [{ name: 'Gateways', description: 'For gateways that let calls through to providers' }],
  securitySchemes: {
    gatewaySecret: {
      type: 'apiKey',
      in: 'header',
      name: 'X-Gateway-Secret',
      description: 'The secret that all gateways share with this service',
    },
  },
};
