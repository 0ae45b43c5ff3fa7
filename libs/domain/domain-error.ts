import { Failure, type FailureKind } from './failure.js';

/** A command is refused. `message` says why and is safe to show. `field` names the input at fault. */
export class DomainError extends Failure {
  override readonly name = 'DomainError';
  override readonly field: string | undefined;

  constructor(
    readonly kind: FailureKind,
    readonly code: string,
    readonly detail: string,
    field?: string,
  ) {
    super(detail);
    this.field = field;
  }
}
