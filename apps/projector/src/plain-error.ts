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
}

export const plainError = (error: Error): PlainError => ({
  name: error.name,
  kind: 'kind' in error && typeof error.kind === 'string' ? error.kind : undefined,
  message: error.message,
  stack: error.stack,
  cause: error.cause instanceof Error ? plainError(error.cause) : undefined,
});

/** Makes an error of the data. It is of class `Error`, but has the name, kind, message and stack of the original error. */
export function errorOf({ name, kind, message, stack, cause }: PlainError): Error {
  const error = new Error(message, { ...(cause && { cause: errorOf(cause) }) });
  return Object.assign(error, { name, stack, ...(kind !== undefined && { kind }) });
}
