import { ErrorType } from '@eventstore/db-client';
import { LogUnavailable } from '#event-log';

/** gRPC: cancelled by the server, deadline exceeded, out of resources, aborted, internal (a server that ends), unavailable. */
const PASSING_CODES = new Set([1, 4, 8, 10, 13, 14]);
const PASSING_TYPES = new Set<unknown>([
  ErrorType.CANCELLED,
  ErrorType.DEADLINE_EXCEEDED,
  ErrorType.NOT_LEADER,
  ErrorType.TIMEOUT,
  ErrorType.UNAVAILABLE,
]);
/** What has neither a type nor a code of its own: an election, a cluster without a leader, a connection just closed. */
const PASSING_MESSAGES = /Server Is Not Ready|Failed to discover|Channel has been shut down|channel has been closed/;

/** The driver's `type` of an error; its classes are not all exported, and some of its errors have none. */
export const typeOf = (error: unknown): unknown => (error instanceof Error && 'type' in error ? error.type : undefined);

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether the same call may succeed later: what failed is the way to the server, or the server. */
export const mayPass = (error: unknown): boolean =>
  error instanceof LogUnavailable ||
  PASSING_TYPES.has(typeOf(error)) ||
  PASSING_CODES.has(codeOf(error) as number) ||
  PASSING_MESSAGES.test(messageOf(error));

/** The server ended a subscription whose consumer fell behind while live. */
export const isTooSlow = (error: unknown): boolean => typeOf(error) === ErrorType.TIMEOUT;

/** No event of the log is where a read was to begin. */
export const isNoPlaceInLog = (error: unknown): boolean =>
  typeOf(error) === ErrorType.UNKNOWN && messageOf(error).includes('Unexpected ReadAllResult');

export const isMissingStream = (error: unknown): boolean => typeOf(error) === ErrorType.STREAM_NOT_FOUND;

/**
 * What is asked is known to be good, so where the server can't say what went wrong it is in trouble, and may have done
 * it; only of a place that the log has not it says no more, either.
 */
export const inTrouble = (error: unknown, what: string): unknown =>
  typeOf(error) === ErrorType.UNKNOWN && !isNoPlaceInLog(error)
    ? new LogUnavailable(`EventStoreDB failed to ${what}: ${messageOf(error)}`, { cause: error })
    : error;

/** What a caller above the port sees of a driver's error: `LogUnavailable`, or an `Error` that no retry will mend. */
export function translated(error: unknown): Error {
  if (error instanceof LogUnavailable || (error instanceof Error && typeOf(error) === undefined && !mayPass(error))) {
    return error;
  }
  if (mayPass(error)) return new LogUnavailable(`EventStoreDB is not available: ${messageOf(error)}`, { cause: error });
  return new Error(`EventStoreDB refused a call: ${messageOf(error)}`, { cause: error });
}
