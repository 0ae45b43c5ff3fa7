import { applyDecorators, type Type, UseFilters, UseGuards } from '@nestjs/common';
import {
  ApiExtraModels,
  ApiHeader,
  ApiOperation,
  ApiParam,
  type ApiParamOptions,
  ApiResponse,
  ApiSecurity,
  getSchemaPath,
  type HeadersObject,
  type ReferenceObject,
  type ResponseObject,
  type SchemaObject,
} from '@nestjs/swagger';
import {
  type DescribedPart,
  type Examples,
  type HeaderName,
  HEADERS,
  headersOf,
  jsonResponse,
  NODE_REFUSALS,
  type ProblemCode,
  problemResponses,
} from '#platform/openapi';
import type { ManagementScope } from '#tokens';
import { FailureFilter } from './failure-filter.js';
import { ManagementGuard, RequiresScope, WithoutWorkspace } from './management-guard.js';

/** One form of a successful answer. */
export interface AnswerForm<Body = unknown> {
  readonly type: Type<Body>;
  /** Examples of whole bodies, by a name for each. */
  readonly examples: Readonly<Record<string, NoInfer<Body>>>;
  /** Whether the body is a list of bodies of this type. */
  readonly isList?: boolean;
}

/** The form of an answer that is not JSON. */
export interface PlainForm {
  readonly mediaType: 'text/plain' | 'application/octet-stream';
  readonly examples: Readonly<Record<string, string>>;
}

/** The successful answer of a route. */
export interface DescribedAnswer {
  readonly status: 200 | 201;
  readonly description: string;
  /** The answer has exactly one of these forms. Empty for an answer that is not JSON. */
  readonly forms: readonly AnswerForm[];
  /** Media types other than JSON in which the answer can be had. */
  readonly otherContent?: NonNullable<ResponseObject['content']>;
  /** The body of an answer that is not JSON. */
  readonly plain?: PlainForm;
  /** Of an answer that is JSON. The default is `application/json`. */
  readonly mediaType?: string;
  readonly headers?: readonly HeaderName[];
  /** Headers that the answer to `dryRun=true` lacks. */
  readonly commandHeaders?: readonly HeaderName[];
  /** The form of the answer to `dryRun=true`, if the route has dry runs. It names no place in the log. */
  readonly dryRun?: AnswerForm;
}

/** How a route is described: everything that the OpenAPI document says about it, and what its types don't say. */
export interface RouteContract {
  /** The rights of which the caller's token must have one. */
  readonly scopes: readonly [ManagementScope, ...ManagementScope[]];
  /** The name of the operation's function in generated clients. */
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly answers: readonly [DescribedAnswer, ...DescribedAnswer[]];
  /** The codes of problems that only some routes answer. Those of every route are added. */
  readonly refusals?: readonly ProblemCode[];
  /** The parameters in the path. */
  readonly path?: readonly ApiParamOptions[];
  /** Whether the route is about the whole log, and so takes no workspace. */
  readonly isAboutLog?: boolean;
}

/** Returns the form. The compiler checks that the examples have the form's type. */
export const form = <Body>(type: Type<Body>, examples: Readonly<Record<string, NoInfer<Body>>>): AnswerForm => ({
  type,
  examples,
});

/** Returns the form of a list. The compiler checks that the examples are lists of the type. */
export const listForm = <Item>(
  type: Type<Item>,
  examples: Readonly<Record<string, readonly NoInfer<Item>[]>>,
): AnswerForm => ({ type, examples, isList: true });

/** Codes with which every route of the management API may answer. */
const REFUSALS_OF_ALL = [
  ...NODE_REFUSALS,
  'MALFORMED_REQUEST',
  'HEADER_REPEATED',
  'VALIDATION_FAILED',
  'UNAUTHENTICATED',
  'INSUFFICIENT_SCOPE',
  'METHOD_NOT_ALLOWED',
  'RATE_LIMITED',
  'INTERNAL',
  'LOG_UNAVAILABLE',
  'MANAGEMENT_ISSUER_UNAVAILABLE',
] as const satisfies readonly ProblemCode[];

/** Codes with which every route that reads a body may answer. */
const REFUSALS_OF_BODIES = [
  'MALFORMED_JSON',
  'BODY_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
] as const satisfies readonly ProblemCode[];

/** Codes of everything that can be wrong with the event log, for routes that decide on it. */
const REFUSALS_OF_THE_LOG = [
  'HISTORY_DAMAGED',
  'HISTORY_MISSING',
  'LOG_RESTORED',
] as const satisfies readonly ProblemCode[];

const REFUSALS_OF_COMMANDS = [
  ...REFUSALS_OF_BODIES,
  ...REFUSALS_OF_THE_LOG,
  'QUARANTINED',
  'UPGRADE_UNFINISHED',
  'PRECONDITION_FAILED',
  'EVENT_TOO_LARGE',
  'IDEMPOTENCY_KEY_REUSED',
  'CONTENTION',
  'CLOCKS_APART',
  'LOG_SEALED',
] as const satisfies readonly ProblemCode[];

const REFUSALS_OF_QUERIES = [
  'FOREIGN_CONSISTENCY_TOKEN',
  'READ_MODEL_BEHIND',
  'READ_MODEL_NOT_READY',
  'READ_MODEL_REBUILD_NEEDED',
  'READ_STORE_UNAVAILABLE',
] as const satisfies readonly ProblemCode[];

/** Decorates the route of a command: guards it, and describes it with its request headers and its responses. */
export const CommandRoute = (contract: RouteContract) =>
  applyDecorators(
    route(contract, REFUSALS_OF_COMMANDS, ['ETag', 'X-Consistency-Token']),
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description: 'The same key and request is carried out once. Keys are per workspace and subject',
      schema: { type: 'string', pattern: '^[!-~]{1,128}$' },
      example: 'b5b0a4f4-6c0f-4a0e-a9a3-0f7f6c2f8d11',
    }),
    ApiHeader({
      name: 'If-Match',
      required: false,
      description: 'An ETag, or * for any; 412 when the resource has changed since, or does not exist',
      schema: { type: 'string', pattern: '^(\\*|"[0-9]{1,19}")$' },
      example: '"3"',
    }),
  );

/** Describes the request header of a route that reads a read model. */
const ConsistencyTokenHeader = ApiHeader({
  name: 'X-Consistency-Token',
  required: false,
  description: 'From a command’s answer. Waits up to 2 s for the read model to come that far, else 503',
  schema: { type: 'string', maxLength: 200 },
});

/** Decorates the route of a query on a read model: guards it, and describes it with its request header and response. */
export const QueryRoute = (contract: RouteContract) =>
  applyDecorators(route(contract, REFUSALS_OF_QUERIES, []), ConsistencyTokenHeader);

/** Decorates the route of a query that is answered from the log alone: guards it, and describes it with its response. */
export const LogQueryRoute = (contract: RouteContract) => route(contract, REFUSALS_OF_THE_LOG, []);

/** Codes of queries that make their consistency token themselves. */
const REFUSALS_OF_AUDITS = [
  ...REFUSALS_OF_THE_LOG,
  ...REFUSALS_OF_QUERIES.filter((code) => code !== 'FOREIGN_CONSISTENCY_TOKEN'),
];

/** Decorates the route of a query that is answered from the log and a read model together. */
export const AuditRoute = (contract: RouteContract) => route(contract, REFUSALS_OF_AUDITS, []);

/** Does the same as `AuditRoute` for a query that is sent as a body. */
export const QuestionRoute = (contract: RouteContract) =>
  route(contract, [...REFUSALS_OF_BODIES, ...REFUSALS_OF_AUDITS], []);

/** Decorates the route of a command whose dry run reads a read model. */
export const CommandRouteWithQuery = (contract: RouteContract) =>
  applyDecorators(
    CommandRoute({ ...contract, refusals: [...(contract.refusals ?? []), ...REFUSALS_OF_QUERIES] }),
    ConsistencyTokenHeader,
  );

/** Decorates the route of a command that appends no event: guards it, and describes it with its response. */
export const EventlessCommandRoute = (contract: RouteContract) =>
  route(contract, [...REFUSALS_OF_BODIES, ...REFUSALS_OF_THE_LOG], []);

const WorkspaceHeader = ApiHeader({
  name: 'X-Workspace-Id',
  required: false,
  description: 'The workspace. Only tokens with the scope `workspaces:any` need it, and may name any',
  schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
  example: 'acme',
});

/** Decorates a route about the tree over the log, which belongs to no workspace. `canBePublic`: see `TREE_PUBLIC`. */
export const LogRoute = ({ canBePublic, ...contract }: RouteContract & { readonly canBePublic: boolean }) =>
  applyDecorators(
    route({ ...contract, isAboutLog: true }, [...REFUSALS_OF_QUERIES, ...REFUSALS_OF_THE_LOG], []),
    WithoutWorkspace({ canBePublic }),
  );

/** Decorates a route with the parts that all routes of the management API share. */
function route(contract: RouteContract, refusals: readonly ProblemCode[], headers: readonly HeaderName[]) {
  const { scopes, operationId, summary, description, answers, path = [] } = contract;
  const codes = [
    ...REFUSALS_OF_ALL,
    ...(path.length > 0 ? (['URI_TOO_LONG'] as const) : []),
    ...refusals,
    ...(contract.refusals ?? []),
  ];
  const problems = Object.entries(problemResponses(codes)) as [string, ResponseObject][];
  return applyDecorators(
    UseGuards(ManagementGuard),
    UseFilters(new FailureFilter()),
    RequiresScope(...scopes),
    ApiOperation({ operationId, summary, description: [description ?? [], needs(scopes)].flat().join('\n\n') }),
    ...scopes.map((scope) => ApiSecurity('managementToken', [scope])),
    ...(contract.isAboutLog ? [] : [WorkspaceHeader]),
    ...path.map((parameter) => ApiParam(parameter)),
    ApiExtraModels(...answers.flatMap(formsOf).map(({ type }) => type)),
    ...answers.map((answer) => ApiResponse({ status: answer.status, ...responseOf(answer, headers) })),
    ...problems.map(([status, response]) => ApiResponse({ status: Number(status), ...response })),
  );
}

const needs = (scopes: readonly ManagementScope[]): string =>
  `Needs the scope ${scopes.map((scope) => `\`${scope}\``).join(' or ')}.`;

const formsOf = ({ forms, dryRun }: DescribedAnswer): readonly AnswerForm[] => (dryRun ? [...forms, dryRun] : forms);

function responseOf(answer: DescribedAnswer, headers: readonly HeaderName[]): ResponseObject {
  const { description, dryRun, commandHeaders = [], plain } = answer;
  if (plain) {
    const names = headersOf('RateLimit-*', ...headers, ...(answer.headers ?? []));
    return jsonResponse(description, { type: 'string' }, plain.examples, names, plain.mediaType);
  }
  const forms = formsOf(answer);
  const refs = forms.map(({ type, isList }): SchemaObject | ReferenceObject => {
    const ref: ReferenceObject = { $ref: getSchemaPath(type) };
    return isList ? { type: 'array', items: ref } : ref;
  });
  const [only, ...others] = refs;
  const schema: SchemaObject | ReferenceObject = only && others.length === 0 ? only : { oneOf: refs };
  const examples: Examples = Object.assign({}, ...forms.map((one) => one.examples)) as Examples;
  const [always, sometimes] = dryRun ? [answer.headers ?? [], headers] : [[...headers, ...(answer.headers ?? [])], []];
  const all = { ...headersOf('RateLimit-*', ...always), ...optional([...sometimes, ...commandHeaders]) };
  const response = jsonResponse(description, schema, examples, all, answer.mediaType);
  return { ...response, content: { ...response.content, ...answer.otherContent } };
}

const optional = (headers: readonly HeaderName[]): HeadersObject =>
  Object.fromEntries(headers.map((name) => [name, { ...HEADERS[name], required: false }]));

/** Describes the parts of the management API that belong to no single route. */
export const managementDescription: DescribedPart = {
  tags: [
    { name: 'Clients', description: 'Consumer clients, their credentials and their assignments' },
    { name: 'Credential drafts', description: 'Credentials that are shown before they are attached to a client' },
    { name: 'Audit', description: 'The past of a whole workspace' },
    { name: 'Subscriptions', description: 'The right of a workspace to call one service' },
    { name: 'Feeds', description: 'Events as they happen, for other systems' },
    { name: 'Tree', description: 'The Merkle tree over the whole event log: signed heads, tiles and proofs (C2SP)' },
  ],
  securitySchemes: {
    managementToken: {
      type: 'http',
      scheme: 'bearer',
      description:
        'A management token. The scopes that an operation lists are claims of the token. The workspace is the claim ' +
        '`workspace_id`, or is named by `X-Workspace-Id` if the token has the scope `workspaces:any`',
    },
  },
};
