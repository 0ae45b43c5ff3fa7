import { storeOf } from './store-outages.js';

/** Thrown by a readiness check. The process goes on serving, but an operator has to act. The message says why. */
export class Degraded extends Error {
  override readonly name = 'Degraded';
}

/** Thrown by a readiness check that is down. `reason` is shown to everybody who asks `/health/ready`. */
export class Down extends Error {
  override readonly name = 'Down';
  /** Like a failure of a store: an outage, not a fault of ours. */
  readonly kind = 'unavailable';
  readonly store: string | undefined;

  constructor(
    readonly reason: string,
    cause: Error,
  ) {
    super(cause.message, { cause });
    this.store = storeOf(cause);
  }
}

/** Thrown by a readiness check that is down because the process is starting, and that will pass by itself. */
export class Starting extends Error {
  override readonly name = 'Starting';
}

/** Thrown by a readiness check that gets no answer in time, and does not know why. Logged without a stack. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
  readonly kind = 'unavailable';

  /** `store`: the store that does not answer, if the check asks nothing else. */
  constructor(
    message: string,
    readonly store?: string,
  ) {
    super(message);
  }
}
