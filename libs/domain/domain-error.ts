import { Failure, type FailureKind } from './failure.js';

/**
 * A command is refused. `message` says why and is safe to show. `field` names the input at fault. `retryAfterSeconds`:
 * after how many seconds the same command may be accepted, if that is known.
 */
export class DomainError extends Failure {
  override readonly name = 'DomainError';
  override readonly field: string | undefined;
  override readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly kind: FailureKind,
    readonly code: string,
    readonly detail: string,
    field?: string,
    retryAfterSeconds?: number,
  ) {
    super(detail);
    this.field = field;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
