import { applyDecorators, UseFilters, UseGuards } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiExtraModels,
  ApiHeader,
  ApiProperty,
  ApiPropertyOptional,
  ApiResponse,
  getSchemaPath,
} from '@nestjs/swagger';
import type { ManagementScope } from '#tokens';
import { FailureFilter } from './failure-filter.js';
import { ManagementGuard, RequiresScope } from './management-guard.js';

class FieldProblem {
  @ApiProperty({ example: 'name' })
  field!: string;

  @ApiProperty({ example: 'name must have 1 to 100 characters' })
  message!: string;
}

/** The error body of RFC 9457, in the form that the OpenAPI document describes. */
class ProblemBody {
  @ApiProperty({ example: 'about:blank' })
  type!: string;

  @ApiProperty({ example: 'Bad Request' })
  title!: string;

  @ApiProperty({ example: 400 })
  status!: number;

  @ApiProperty({ example: 'VALIDATION_FAILED', description: 'Stable; what callers branch on' })
  code!: string;

  @ApiProperty({ example: 'The request is not valid; see errors' })
  detail!: string;

  @ApiProperty({ example: '2f1c8e0a-7d0f-4b57-9c11-0f6d3d1f6a11' })
  requestId!: string;

  @ApiPropertyOptional({ type: [FieldProblem] })
  errors?: FieldProblem[];
}

const problem = (status: number, description: string) =>
  ApiResponse({ status, description, content: { 'application/problem+json': { schema: problemSchema } } });

const problemSchema = { $ref: '#/components/schemas/ProblemBody' };

/** Schemas to which the OpenAPI document refers only by name. */
export const referredModels = [ProblemBody];

const workspaceHeader = ApiHeader({
  name: 'X-Workspace-Id',
  required: false,
  description: 'The workspace; only for tokens with the scope workspaces:any, which must name one',
});

const placeHeaders = {
  ETag: { description: 'Revision of the resource', schema: { type: 'string', example: '"3"' } },
  'X-Consistency-Token': {
    description: 'Send it with a query, and the query sees this command’s effect',
    schema: { type: 'string' },
  },
} as const;

interface Answer {
  readonly status: number;
  readonly type: new () => unknown;
  /** The body of a dry run, if the route has one. */
  readonly dryRun?: new () => unknown;
}

function commandResponse({ status, type, dryRun }: Answer) {
  if (dryRun === undefined) return ApiResponse({ status, type, headers: placeHeaders });
  const schema = { oneOf: [{ $ref: getSchemaPath(type) }, { $ref: getSchemaPath(dryRun) }] };
  const description = 'The new state; with `dryRun=true` what the command would do, and no X-Consistency-Token';
  const content = { 'application/json': { schema } };
  return applyDecorators(
    ApiExtraModels(type, dryRun),
    ApiResponse({ status, description, headers: placeHeaders, content }),
  );
}

/** Decorates the route of a command with its scope, its request headers and its responses. */
export const CommandRoute = (scope: ManagementScope, ...answers: Answer[]) =>
  applyDecorators(
    ManagementRoute(scope),
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description: '1 to 128 visible ASCII characters; the same key and payload is carried out once',
    }),
    ApiHeader({
      name: 'If-Match',
      required: false,
      description: 'An ETag, or * for any; 412 when the resource has changed since, or does not exist',
    }),
    ...answers.map(commandResponse),
    problem(409, 'The state of the resource does not allow it'),
    problem(412, 'If-Match names another revision'),
    problem(413, 'The body is too large'),
    problem(415, 'The body is not JSON, is compressed, or has another charset than UTF-8'),
    problem(422, 'The Idempotency-Key was used for another payload'),
  );

/** Decorates a route that reads a read model with the request header for it. */
export const ConsistencyTokenHeader = ApiHeader({
  name: 'X-Consistency-Token',
  required: false,
  description: 'Waits up to 2 s for the read model to come that far, else 503 with Retry-After',
});

/**
 * Decorates the route of a query on a read model with its scopes, its request header and its response. A token needs
 * one of the scopes.
 */
export const QueryRoute = (scopes: ManagementScope | readonly ManagementScope[], type: new () => unknown) =>
  applyDecorators(ManagementRoute(...[scopes].flat()), ConsistencyTokenHeader, ApiResponse({ status: 200, type }));

/** Decorates a route with the parts that all routes of the management API share. */
export const ManagementRoute = (...scopes: ManagementScope[]) =>
  applyDecorators(
    UseGuards(ManagementGuard),
    UseFilters(new FailureFilter()),
    RequiresScope(...scopes),
    ApiBearerAuth(),
    workspaceHeader,
    problem(400, 'The request is not valid; `errors` names each field'),
    problem(401, 'No bearer token, or one that is not good'),
    problem(403, 'The token lacks the scope, or names another workspace'),
    problem(404, 'There is no such resource in this workspace'),
    problem(405, 'The path has no such method; Allow names those that it has'),
    problem(429, 'Too many requests of this subject; see Retry-After'),
    problem(503, 'A store can’t answer now, or has not caught up; see Retry-After'),
  );
