/** Thrown by a readiness check. The process goes on serving, but an operator has to act. The message says why. */
export class Degraded extends Error {
  override readonly name = 'Degraded';
}

/** Thrown by a readiness check that is down. `reason` is shown to everybody who asks `/health/ready`. */
export class Down extends Error {
  override readonly name = 'Down';
  /** Like a failure of a store: an outage, not a fault of ours. */
  readonly kind = 'unavailable';

  constructor(
    readonly reason: string,
    cause: Error,
  ) {
    super(cause.message, { cause });
  }
}
