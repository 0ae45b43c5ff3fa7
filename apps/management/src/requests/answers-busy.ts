import { Failure } from '#domain';

/** Thrown while this process makes as many of the costly answers of one kind as it may at once. */
export class AnswersBusy extends Failure {
  override readonly name = 'AnswersBusy';
  readonly kind = 'unavailable';
  readonly code = 'busy';

  constructor(
    readonly detail: string,
    override readonly retryAfterSeconds: number,
  ) {
    super(detail);
  }
}
