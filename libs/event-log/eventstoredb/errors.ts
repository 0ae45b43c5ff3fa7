import { ErrorType } from '@eventstore/db-client';
import { LogUnavailable } from '#event-log';

/**
 * The gRPC codes for: cancelled, deadline exceeded, resource exhausted, aborted, internal (the server is stopping), and
 * unavailable.
 */
const TRANSIENT_CODES = new Set([1, 4, 8, 10, 13, 14]);
const TRANSIENT_TYPES = new Set<unknown>([
  ErrorType.CANCELLED,
  ErrorType.DEADLINE_EXCEEDED,
  ErrorType.NOT_LEADER,
  ErrorType.TIMEOUT,
  ErrorType.UNAVAILABLE,
]);
/**
 * Messages of errors that have neither a type nor a code. Such errors occur during an election, in a cluster without a
 * leader, and on a connection that was just closed.
 */
const TRANSIENT_MESSAGES = /Server Is Not Ready|Failed to discover|Channel has been shut down|channel has been closed/;

/**
 * Returns the driver's `type` of an error; `undefined` for an error without a type. We can't use `instanceof`,
 * because the driver does not export all its error classes.
 */
export const typeOf = (error: unknown): unknown => (error instanceof Error && 'type' in error ? error.type : undefined);

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Whether the same call may succeed later, because the error is caused by the connection or the server and not by the
 * call itself.
 */
export const isTransient = (error: unknown): boolean =>
  error instanceof LogUnavailable ||
  TRANSIENT_TYPES.has(typeOf(error)) ||
  TRANSIENT_CODES.has(codeOf(error) as number) ||
  TRANSIENT_MESSAGES.test(messageOf(error));

/** Whether the server has ended a live subscription because the subscriber was too slow. */
export const isTooSlow = (error: unknown): boolean => typeOf(error) === ErrorType.TIMEOUT;

/** Whether a read failed because no event has the position at which the read was to begin. */
export const isNoPlaceInLog = (error: unknown): boolean =>
  typeOf(error) === ErrorType.UNKNOWN && messageOf(error).includes('Unexpected ReadAllResult');

export const isMissingStream = (error: unknown): boolean => typeOf(error) === ErrorType.STREAM_NOT_FOUND;

/**
 * Turns an error of type "unknown" into `LogUnavailable`. All our calls are valid, so such an error means that the
 * server itself is in trouble. The server may have carried the call out. Any other error is returned unchanged. A read
 * that begins at a position without an event also fails with type "unknown", but this error is returned unchanged, too.
 */
export const unknownAsUnavailable = (error: unknown, what: string): unknown =>
  typeOf(error) === ErrorType.UNKNOWN && !isNoPlaceInLog(error)
    ? new LogUnavailable(`EventStoreDB failed to ${what}: ${messageOf(error)}`, { cause: error })
    : error;

/**
 * Turns an error of the driver into an error for callers of `EventLog`: `LogUnavailable`, or an `Error` if a retry
 * would not help.
 */
export function asPortError(error: unknown): Error {
  if (
    error instanceof LogUnavailable ||
    (error instanceof Error && typeOf(error) === undefined && !isTransient(error))
  ) {
    return error;
  }
  if (isTransient(error))
    return new LogUnavailable(`EventStoreDB is not available: ${messageOf(error)}`, { cause: error });
  return new Error(`EventStoreDB refused a call: ${messageOf(error)}`, { cause: error });
}
