import type {
  HeaderObject,
  HeadersObject,
  ReferenceObject,
  ResponseObject,
  ResponsesObject,
  SchemaObject,
} from '@nestjs/swagger';
import { exampleProblem, PROBLEM_CODES, type ProblemCode } from './problem-codes.js';

/** The headers of answers, by their names in the document's `components`. */
export const HEADERS = {
  Allow: { description: 'The methods that this path has', required: true, schema: { type: 'string' }, example: 'POST' },
  'Cache-Control': {
    description: 'Whether, and for how long, a cache may keep the answer',
    required: true,
    schema: { type: 'string' },
    example: 'no-store',
  },
  ETag: {
    description: 'The revision of the resource, for `If-Match`',
    required: true,
    schema: { type: 'string', pattern: '^"[0-9]+"$' },
    example: '"3"',
  },
  Link: {
    description: 'The next page of the feed (RFC 8288). There always is one: it may be empty for now',
    required: true,
    schema: { type: 'string' },
    example: '</v1/events?after=00000000000000004711&limit=100>; rel="next"',
  },
  Location: {
    description: 'The URL of the new resource, relative to the server',
    required: true,
    schema: { type: 'string', format: 'uri-reference' },
    example: '/v1/clients/cc_4fT0kq9wZr1sVb7XyN2mLp',
  },
  'RateLimit-Limit': {
    description: 'How many calls are permitted in a minute. Absent if there is no limit',
    schema: { type: 'integer', minimum: 1 },
    example: 60_000,
  },
  'RateLimit-Remaining': {
    description: 'How many calls are left in the present minute. Absent if there is no limit',
    schema: { type: 'integer', minimum: 0 },
    example: 59_987,
  },
  'RateLimit-Reset': {
    description: 'Seconds until the present minute ends. Absent if there is no limit',
    schema: { type: 'integer', minimum: 1 },
    example: 12,
  },
  'Retry-After': {
    description: 'Seconds after which the same request may succeed',
    required: true,
    schema: { type: 'integer', minimum: 1 },
    example: 1,
  },
  'WWW-Authenticate': {
    description: 'How to authenticate (RFC 9110 §11.6.1), and what was wrong with the credentials',
    required: true,
    schema: { type: 'string' },
    example: 'Bearer error="invalid_token"',
  },
  'X-Auth-Code': {
    description: 'Why the call may pass, or may not; see the table at the operation',
    required: true,
    schema: { type: 'string', pattern: '^[A-Z_]+$' },
    example: 'GOOD',
  },
  'X-Consistency-Token': {
    description: 'Names the place of this command in the log. A query that sends it sees the command’s effect',
    required: true,
    schema: { type: 'string' },
    example: '0195b3f0-5a1e-7c3a-9a51-6b6f0e7d2c11.00000000000000000042',
  },
  'X-Request-Id': {
    description: 'The caller’s own `X-Request-Id` if it is well formed, and otherwise a new id; our log lines have it',
    required: true,
    schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$' },
    example: '2f1c8e0a-7d0f-4b57-9c11-0f6d3d1f6a11',
  },
} as const satisfies Readonly<Record<string, HeaderObject & { readonly schema: SchemaObject }>>;

export type HeaderName = keyof typeof HEADERS;

const RATE_LIMIT = ['RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset'] as const;

/** The headers of an answer. Every answer also has `X-Request-Id`. */
export const headersOf = (...names: readonly (HeaderName | 'RateLimit-*')[]): HeadersObject =>
  Object.fromEntries(
    ['X-Request-Id' as const, ...names.flatMap((name) => (name === 'RateLimit-*' ? RATE_LIMIT : [name]))].map(
      (name) => [name, { $ref: `#/components/headers/${name}` }],
    ),
  );

/** Refers to a schema in the document's `components`. */
export const schemaRef = (name: string): ReferenceObject => ({ $ref: `#/components/schemas/${name}` });

/** Examples of bodies, by a name for each. */
export type Examples = Readonly<Record<string, unknown>>;

/** A response with a JSON body. */
export const jsonResponse = (
  description: string,
  schema: SchemaObject | ReferenceObject,
  examples: Examples,
  headers: HeadersObject = headersOf(),
  mediaType = 'application/json',
): ResponseObject => ({
  description,
  headers,
  content: { [mediaType]: { schema, examples: mapValues(examples, (value) => ({ value })) } },
});

/** The schema of a problem's body (RFC 9457). */
export const PROBLEM_SCHEMAS = {
  Problem: {
    type: 'object',
    description: 'An error (RFC 9457). Branch on `code`, which never changes; `detail` is for people.',
    required: ['type', 'title', 'status', 'detail', 'code', 'requestId'],
    properties: {
      type: { type: 'string', enum: ['about:blank'] },
      title: { type: 'string', description: 'The name of the status' },
      status: { type: 'integer', minimum: 400, maximum: 599 },
      detail: { type: 'string', description: 'One sentence for people' },
      code: schemaRef('ProblemCode'),
      requestId: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$', description: 'As in `X-Request-Id`' },
      errors: {
        type: 'array',
        description: 'The fields, parameters and headers at fault',
        items: {
          type: 'object',
          required: ['field', 'message'],
          properties: {
            field: { type: 'string', description: 'A path: `a.b[0]` is the first item of member `b` of `a`' },
            message: { type: 'string' },
          },
        },
      },
    },
  },
} as const satisfies Readonly<Record<string, SchemaObject>>;

/** The headers that problems with these statuses have. */
const HEADERS_OF_PROBLEMS: Readonly<Record<number, readonly (HeaderName | 'RateLimit-*')[]>> = {
  401: ['WWW-Authenticate'],
  405: ['Allow'],
  429: ['Retry-After', 'RateLimit-*'],
  503: ['Retry-After'],
};

/** Responses with problem details, one for each status of these codes, with an example for each code. */
export function problemResponses(codes: readonly ProblemCode[]): ResponsesObject {
  const statuses = [...new Set(codes.map((code) => PROBLEM_CODES[code].status))].sort();
  return Object.fromEntries(
    statuses.map((status) => {
      const own = [...new Set(codes)].filter((code) => PROBLEM_CODES[code].status === status);
      const description = own.map((code) => `\`${code}\`: ${PROBLEM_CODES[code].meaning}`).join('\n\n');
      const examples = Object.fromEntries(own.map((code) => [code, exampleProblem(code)]));
      const mayHaveRetryAfter = own.some((code) => 'mayHaveRetryAfter' in PROBLEM_CODES[code]);
      const headers = {
        ...headersOf(...(HEADERS_OF_PROBLEMS[status] ?? [])),
        ...(mayHaveRetryAfter && { 'Retry-After': { ...HEADERS['Retry-After'], required: false } }),
      };
      return [status, jsonResponse(description, schemaRef('Problem'), examples, headers, 'application/problem+json')];
    }),
  );
}

/** Codes of problems with which Node itself may answer any request, before a route is found. */
export const NODE_REFUSALS = ['REQUEST_TIMEOUT', 'HEADERS_TOO_LARGE'] as const satisfies readonly ProblemCode[];

/** The refusals of a route that takes no parameters and has no limit. */
export const PLAIN_ROUTE_REFUSALS = [
  ...NODE_REFUSALS,
  'MALFORMED_REQUEST',
  'HEADER_REPEATED',
  'VALIDATION_FAILED',
  'METHOD_NOT_ALLOWED',
  'INTERNAL',
] as const satisfies readonly ProblemCode[];

const mapValues = <From, To>(from: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(from).map(([name, value]) => [name, map(value)]));
