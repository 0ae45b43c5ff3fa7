import { hash, randomUUID } from 'node:crypto';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { CommandRequest } from '#event-log';
import { canonicalJson, type Revision, uuidV5 } from '#events';
import { unknownField, validationFailed } from '#platform';
import type { Caller } from './management-guard.js';

/**
 * A command that came over HTTP. `ifMatch` is the revision in the `If-Match` header, or `exists` for `*`. `isNew` is
 * true if the request has no `Idempotency-Key`.
 */
export interface HttpCommandRequest extends CommandRequest {
  readonly caller: Caller;
}

/** The input that a command's route accepts in addition to path parameters and headers. */
export interface CommandInput {
  /** Names of the query parameters that the route accepts. */
  readonly query?: readonly string[];
  /** Whether the request body must be empty. */
  readonly bodyless?: boolean;
}

/** Injects the `HttpCommandRequest` of a request that passed `ManagementGuard`. */
export const CommandParameter = createParamDecorator((input: CommandInput | undefined, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  refuseUnknownInput(request, input ?? {});
  return commandRequest(request);
});

/** Refuses unknown parameters. Otherwise a request with a mistyped `dryRun` would really revoke the client. */
function refuseUnknownInput(
  { query, body }: FastifyRequest,
  { query: known = [], bodyless = false }: CommandInput,
): void {
  const inBody = bodyless && typeof body === 'object' && body !== null ? Object.keys(body) : [];
  const [unknown] = [...Object.keys(query as object).filter((name) => !known.includes(name)), ...inBody];
  if (unknown !== undefined) throw validationFailed(unknownField(unknown));
}

/** Injects the `Caller` of a request that passed `ManagementGuard`. */
export const CallerParameter = createParamDecorator((_: unknown, context: ExecutionContext): Caller =>
  callerOf(context.switchToHttp().getRequest<FastifyRequest>()),
);

function callerOf(request: FastifyRequest): Caller {
  if (!request.caller) throw new Error(`${request.url} is not behind ManagementGuard`);
  return request.caller;
}

function commandRequest(request: FastifyRequest): HttpCommandRequest {
  const caller = callerOf(request);
  const { subject, scopes, workspaceId } = caller;
  const key = request.headers['idempotency-key'];
  const ifMatch = revisionIn(request.headers['if-match']);
  const context = {
    commandId: commandIdOf(caller, key),
    commandHash: commandHashOf(request),
    actor: { subject, roles: scopes, via: 'http' },
    workspaceId,
    correlationId: request.id,
    causationId: request.id,
  };
  return { context, caller, isNew: key === undefined, ...(ifMatch === undefined ? {} : { ifMatch }) };
}

/** UUID namespace of the command ids that are derived from idempotency keys. */
const COMMAND_NAMESPACE = '6f2a4f0e-6f1d-5c0a-9b57-1b0e8f8d7c11';
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/;

function commandIdOf({ workspaceId, subject }: Caller, key: string | string[] | undefined): string {
  if (key === undefined) return randomUUID();
  if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key)) {
    throw validationFailed({ field: 'Idempotency-Key', message: 'must be 1 to 128 visible ASCII characters' });
  }
  return uuidV5(canonicalJson([workspaceId, subject, key]), COMMAND_NAMESPACE);
}

const commandHashOf = ({ method, url, body }: FastifyRequest): string =>
  hash('sha256', canonicalJson([method, url, body ?? null]));

const ETAG = /^"(\d{1,19})"$/;

function revisionIn(header: string | undefined): Revision | 'exists' | undefined {
  if (header === undefined) return undefined;
  if (header === '*') return 'exists';
  const [, digits] = ETAG.exec(header) ?? [];
  if (digits === undefined)
    throw validationFailed({ field: 'If-Match', message: 'must be one ETag of this API, such as "3"' });
  return BigInt(digits);
}
