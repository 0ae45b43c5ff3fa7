import { storeOf } from '#platform/without-http';

/**
 * An error as plain data, which can be sent to another thread. Node would send an error of our classes without its name.
 */
export interface PlainError {
  readonly name: string;
  /** See `Failure`. `undefined` for errors of other classes. */
  readonly kind: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: PlainError | undefined;
  /** See `storeOf`. */
  readonly store: string | undefined;
}

export const plainError = (error: Error): PlainError => ({
  name: error.name,
  kind: 'kind' in error && typeof error.kind === 'string' ? error.kind : undefined,
  message: error.message,
  stack: error.stack,
  cause: error.cause instanceof Error ? plainError(error.cause) : undefined,
  store: storeOf(error),
});

/**
 * Makes an error of the data. It is of class `Error`, but has the name, kind, message, stack and store of the original
 * error.
 */
export function errorOf({ name, kind, message, stack, cause, store }: PlainError): Error {
  const error = new Error(message, { ...(cause && { cause: errorOf(cause) }) });
  return Object.assign(error, {
    name,
    stack,
    ...(kind !== undefined && { kind }),
    ...(store !== undefined && { store }),
  });
}
