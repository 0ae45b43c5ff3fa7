import { Failure } from '#domain';
import { type Logger, methodNotAllowed, Problem } from '#platform';
import type { FastAnswer, FastRequest, Handler } from './fast-path.js';

/**
 * Makes the handler of a route that is not an OAuth endpoint: requests with a malformed head and all errors are answered
 * with problem details (RFC 9457).
 */
export const problemHandler =
  (handler: Handler, logger: Logger): Handler =>
  async (request) => {
    try {
      if (request.problem) throw request.problem;
      return await handler(request);
    } catch (error) {
      return failureAnswer(error, request, logger);
    }
  };

/** At the path of a document, answers every method except `GET` and `HEAD` with 405. */
export const readOnly = (logger: Logger): Handler =>
  problemHandler(() => {
    throw methodNotAllowed(['GET', 'HEAD']);
  }, logger);

/** An outage is logged once by the readiness check, and at `debug` for each request. */
function failureAnswer(err: unknown, { id }: FastRequest, logger: Logger): FastAnswer {
  const problem = problemOf(err);
  if (problem.status === 500) logger.error({ requestId: id, err }, 'request failed');
  else logger.debug({ requestId: id, err }, 'request could not be served');
  const headers = [...Object.entries(problem.headers).flat(), 'content-type', 'application/problem+json'];
  return { status: problem.status, headers, body: JSON.stringify(problem.toBody(id)), facts: { code: problem.code } };
}

function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return error instanceof Failure && error.kind === 'unavailable'
    ? new Problem(503, error.code.toUpperCase(), error.detail, { headers: { 'Retry-After': '1' } })
    : new Problem(500, 'INTERNAL', 'Something went wrong on our side');
}
