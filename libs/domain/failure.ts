/**
 * What a caller can do about a failure. Each protocol translates these kinds in one place (to HTTP statuses, OAuth
 * errors, exit codes).
 */
export type FailureKind =
  /** The input breaks a rule. Another input may be accepted. */
  | 'invalid'
  | 'not_found'
  /** The input is valid, but the present state does not allow the change. */
  | 'conflict'
  /** The caller named a revision of the stream, and the stream has newer events. */
  | 'precondition_failed'
  /** The same idempotency key came with another request. */
  | 'key_reused'
  | 'too_large'
  /** There were too many requests. The same request may be accepted in a minute. */
  | 'too_many'
  /** The same request may be accepted soon. */
  | 'unavailable';

/**
 * An error that is reported to the caller. Each subclass defines its own `kind`, `code` and `detail`, so no central
 * table has to list all errors. `message` is for our logs and may name streams and stores. Only `code` and `detail` are
 * shown to callers.
 */
export abstract class Failure extends Error {
  abstract readonly kind: FailureKind;
  /** A stable code in lower snake case. The code is part of the HTTP contract, which shows the code in upper case. */
  abstract readonly code: string;
  /** One sentence that is safe to show to the caller. */
  abstract readonly detail: string;
  /** The name of the input at fault, if there is such an input. */
  readonly field: string | undefined = undefined;
  /** After how many seconds the same request may succeed, if that is known. */
  readonly retryAfterSeconds: number | undefined = undefined;
}
