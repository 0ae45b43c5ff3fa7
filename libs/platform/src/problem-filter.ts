import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DraftExpired, DraftInvalid, MintingBusy, VerificationBusy } from '#credentials';
import { DomainError, type DomainErrorCode } from '#domain';
import {
  CommandIdReused,
  EventTooLarge,
  LogIsSealed,
  LogUnavailable,
  PreconditionFailed,
  RevisionConflict,
} from '#event-log';
import {
  ForeignConsistencyToken,
  InvalidCursor,
  NotCaughtUp,
  NotReady,
  ReadStoreUnavailable,
  RebuildNeeded,
} from '#read-models';
import { ManagementIssuerUnavailable } from '#tokens';
import { Problem } from './problem.js';

const STATUS_OF_DOMAIN_ERROR: Readonly<Record<DomainErrorCode, number>> = {
  client_not_found: 404,
  client_exists: 409,
  client_revoked: 409,
  client_not_assigned: 409,
  wrong_authentication_type: 409,
  draft_stale: 409,
  generation_not_found: 404,
  generation_is_newest: 409,
  invalid_name: 400,
  invalid_reason: 400,
  invalid_overlap: 400,
  invalid_subscription_id: 400,
  invalid_endpoint_uri: 400,
  invalid_service_name: 400,
  too_many_subscriptions: 409,
  too_many_token_revocations: 429,
  subscription_not_found: 404,
  subscription_exists: 409,
  subscription_ended: 409,
  endpoint_uri_taken: 409,
  signing_key_not_found: 404,
  signing_key_exists: 409,
  signing_key_not_published: 409,
  signing_key_too_young: 409,
};

/** What HTTP itself, Fastify and Nest refuse. Their messages repeat the caller's input, so these are our own words. */
const HTTP_REFUSALS: Readonly<Record<number, readonly [code: string, detail: string]>> = {
  400: ['MALFORMED_REQUEST', 'The request is malformed'],
  401: ['UNAUTHENTICATED', 'Authentication is needed'],
  403: ['FORBIDDEN', 'This is not allowed'],
  404: ['NOT_FOUND', 'There is no such route'],
  408: ['REQUEST_TIMEOUT', 'The request took too long to arrive'],
  413: ['BODY_TOO_LARGE', 'The body is too large'],
  414: ['URI_TOO_LONG', 'A part of the path is too long'],
  415: ['UNSUPPORTED_MEDIA_TYPE', 'The body must be application/json'],
  431: ['HEADERS_TOO_LARGE', 'The headers are too large'],
};

/** The answer to a request that was refused with this HTTP status before any code of ours saw it. */
export const httpRefusal = (status: number, cause?: unknown): Problem => {
  const [code, detail] = HTTP_REFUSALS[status] ?? ['REFUSED', 'The request was refused'];
  return new Problem(status, code, detail, { cause });
};

const tryAgain = (code: string, detail: string, cause: Error): Problem =>
  new Problem(503, code, detail, { headers: { 'Retry-After': '1' }, cause });

const ofDomainError = (error: DomainError): Problem => {
  const { code, message, field } = error;
  const status = STATUS_OF_DOMAIN_ERROR[code];
  return new Problem(status, code.toUpperCase(), message, {
    cause: error,
    ...(field !== undefined && { errors: [{ field, message }] }),
    ...(status === 429 && { headers: { 'Retry-After': '60' } }),
  });
};

const invalidField = (code: string, field: string, error: Error): Problem =>
  new Problem(400, code, error.message, { errors: [{ field, message: error.message }], cause: error });

/** What an error means over HTTP. Whatever is not known here is 500 `INTERNAL`, and says nothing of itself. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof DomainError) return ofDomainError(error);
  if (error instanceof PreconditionFailed) {
    return new Problem(412, 'PRECONDITION_FAILED', 'It has changed: read it again (If-Match)', { cause: error });
  }
  if (error instanceof CommandIdReused) {
    const detail = 'This Idempotency-Key was used for another request';
    return new Problem(422, 'IDEMPOTENCY_KEY_REUSED', detail, { cause: error });
  }
  if (error instanceof EventTooLarge)
    return new Problem(413, 'EVENT_TOO_LARGE', 'This is too large to be recorded', { cause: error });
  if (error instanceof RevisionConflict) return tryAgain('CONTENTION', 'Others change the same; try again', error);
  if (error instanceof LogIsSealed) return tryAgain('LOG_SEALED', 'The event log is being moved, or was', error);
  if (error instanceof LogUnavailable)
    return tryAgain('LOG_UNAVAILABLE', 'The event log does not answer; try again', error);
  if (error instanceof ReadStoreUnavailable) {
    return tryAgain('READ_STORE_UNAVAILABLE', 'The read models do not answer; try again', error);
  }
  if (error instanceof NotReady) return tryAgain('READ_MODEL_NOT_READY', 'This list is being built; try again', error);
  if (error instanceof RebuildNeeded) {
    return tryAgain('READ_MODEL_REBUILD_NEEDED', 'This list is of another log and must be rebuilt', error);
  }
  if (error instanceof NotCaughtUp) {
    return tryAgain('READ_MODEL_BEHIND', 'The read models have not come as far as the token; try again', error);
  }
  if (error instanceof MintingBusy || error instanceof VerificationBusy) {
    return tryAgain('BUSY', 'Too many credentials are in the making; try again', error);
  }
  if (error instanceof ManagementIssuerUnavailable) {
    return tryAgain('MANAGEMENT_ISSUER_UNAVAILABLE', "The issuer's keys can not be fetched; try again", error);
  }
  if (error instanceof ForeignConsistencyToken)
    return invalidField('FOREIGN_CONSISTENCY_TOKEN', 'X-Consistency-Token', error);
  if (error instanceof InvalidCursor) return invalidField('INVALID_CURSOR', 'cursor', error);
  if (error instanceof DraftInvalid) return invalidField('DRAFT_INVALID', 'draft', error);
  if (error instanceof DraftExpired) return invalidField('DRAFT_EXPIRED', 'draft', error);
  const status = refusedStatus(error);
  return status === undefined
    ? new Problem(500, 'INTERNAL', 'Something went wrong on our side', { cause: error })
    : httpRefusal(status, error);
}

/** The 4xx of Nest's and Fastify's own errors; Fastify's reach us bare or wrapped by Nest. */
function refusedStatus(error: unknown): number | undefined {
  const status: unknown = error instanceof HttpException ? error.getStatus() : fastifyStatus(error);
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

/** Fastify gives a status to Node's own error, too, where a body broke off (`ECONNRESET`). */
const fastifyStatus = (error: unknown): unknown => {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined;
  const isFastifys = 'name' in error && error.name === 'FastifyError';
  const hasBrokenOff = 'code' in error && error.code === 'ECONNRESET';
  return isFastifys || hasBrokenOff ? error.statusCode : undefined;
};

/**
 * Answers every error as `application/problem+json`. A 500 is logged with its cause and stack; nobody else sees them. What
 * is away is told of once, by its readiness check, not by each request that misses it.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(error);
  const fields = { requestId: request.id, err: problem.cause ?? problem };
  if (problem.status === 500) request.log.error(fields, 'request failed');
  else if (problem.status > 500) request.log.debug(fields, 'request could not be served');
  if (reply.raw.headersSent) {
    reply.raw.destroy();
    return;
  }
  void reply
    .status(problem.status)
    .headers(problem.headers)
    .type('application/problem+json')
    // As bytes: to a string Fastify would add a charset, which this type has not.
    .send(Buffer.from(JSON.stringify(problem.toBody(request.id))));
}
