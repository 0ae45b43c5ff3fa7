import { type ArgumentsHost, Catch } from '@nestjs/common';
import { Failure, type FailureKind } from '#domain';
import { Problem, ProblemFilter } from '#platform';

const STATUS_OF_KIND: Readonly<Record<FailureKind, number>> = {
  invalid: 400,
  not_found: 404,
  conflict: 409,
  precondition_failed: 412,
  too_large: 413,
  key_reused: 422,
  too_many: 429,
  unavailable: 503,
};

/** Seconds after which a repetition of the request may succeed, unless the failure says more exactly. */
const RETRY_AFTER: Partial<Record<FailureKind, number>> = { too_many: 60, unavailable: 1 };

const problemOf = (failure: Failure): Problem => {
  const { kind, code, detail, field, retryAfterSeconds = RETRY_AFTER[kind] } = failure;
  return new Problem(STATUS_OF_KIND[kind], code.toUpperCase(), detail, {
    cause: failure,
    ...(field !== undefined && { errors: [{ field, message: detail }] }),
    ...(retryAfterSeconds !== undefined && { headers: { 'Retry-After': String(retryAfterSeconds) } }),
  });
};

/**
 * Translates every `Failure` into an error response of the management API. The response's status depends only on the
 * failure's kind.
 */
@Catch(Failure)
export class FailureFilter extends ProblemFilter {
  override catch(failure: Failure, host: ArgumentsHost): void {
    super.catch(problemOf(failure), host);
  }
}
