import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from './problem.js';
import { addressIfRefused } from './request-facts.js';

/**
 * Our own texts for requests that Node, Fastify or Nest refuse. The original messages are not sent, because they repeat
 * the caller's input.
 */
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

/**
 * The answer to a request that Node, Fastify or Nest refused with this HTTP status before our own code saw the request.
 */
export const httpRefusal = (status: number, cause?: unknown): Problem => {
  const [code, detail] = HTTP_REFUSALS[status] ?? ['REFUSED', 'The request was refused'];
  return new Problem(status, code, detail, { cause });
};

/** The problem of a caller that did not wait for the answer, with nginx's status for that. Nobody gets it. */
export const callerGone = (cause?: unknown): Problem => httpRefusal(499, cause);

/** Whether Node found the connection closed while it wrote an answer piece by piece. */
const brokeOff = (error: unknown, { raw }: FastifyRequest): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE' && raw.socket.destroyed;

/** Turns any error into a problem. An error that is not meant for callers becomes a 500 `INTERNAL` without details. */
function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const status = refusedStatus(error);
  return status === undefined
    ? new Problem(500, 'INTERNAL', 'Something went wrong on our side', { cause: error })
    : httpRefusal(status, error);
}

/**
 * The 4xx status of an error from Nest or Fastify; `undefined` for other errors. Nest wraps some of Fastify's errors,
 * but not all.
 */
function refusedStatus(error: unknown): number | undefined {
  const status: unknown = error instanceof HttpException ? error.getStatus() : fastifyStatus(error);
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

/**
 * The HTTP status of an error from Fastify. If a body breaks off, Fastify also sets the status on Node's own error
 * (`ECONNRESET`).
 */
const fastifyStatus = (error: unknown): unknown => {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined;
  const isFastifys = 'name' in error && error.name === 'FastifyError';
  const hasBrokenOff = 'code' in error && error.code === 'ECONNRESET';
  return isFastifys || hasBrokenOff ? error.statusCode : undefined;
};

/**
 * Answers every error as `application/problem+json`. A 500 is logged with its cause and stack, which the caller never
 * sees. A 503 is logged at `debug` only: the readiness check of the unavailable store logs the outage once.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = brokeOff(error, request) ? callerGone(error) : problemOf(error);
  request.facts = { ...request.facts, code: problem.code, ...addressIfRefused(problem.status, request.ip) };
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
    // We send bytes, because Fastify would add a charset to a string. This content type has no charset.
    .send(Buffer.from(JSON.stringify(problem.toBody(request.id))));
}
