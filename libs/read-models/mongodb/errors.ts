import {
  MongoBulkWriteError,
  MongoError,
  MongoInvalidArgumentError,
  MongoServerError,
  MongoWriteConcernError,
} from 'mongodb';
import { ReadStoreUnavailable } from '#read-models';

/** Codes of the server's errors (https://www.mongodb.com/docs/manual/reference/error-codes/). */
export const ServerCode = {
  BadValue: 2,
  NamespaceNotFound: 26,
  NamespaceExists: 48,
  CommandNotFound: 59,
  DuplicateKey: 11000,
} as const;

/**
 * What passes by itself, or once an operator has given the account its rights. Servers label it for writes that the
 * driver repeats, which ours are not.
 */
const PASSING_CODES = new Set([
  ...[6, 7, 89, 91, 9001], // HostUnreachable, HostNotFound, NetworkTimeout, ShutdownInProgress, SocketException
  ...[43, 175, 237, 11601], // CursorNotFound, QueryPlanKilled, CursorKilled, Interrupted
  ...[13, 18], // Unauthorized, AuthenticationFailed
  ...[24, 50, 64, 112, 133, 134, 262], // LockTimeout, MaxTimeMSExpired, WriteConcernFailed, WriteConflict, FailedToSatisfyReadPreference, ReadConcernMajorityNotAvailableYet, ExceededTimeLimit
  ...[189, 10058, 10107, 11600, 11602, 13435, 13436], // PrimarySteppedDown, LegacyNotPrimary, NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary
]);

/** A bulk whose connection broke: the driver makes a server's error of it, without a code, which a server always gives. */
const isBrokenOff = (error: MongoServerError): boolean =>
  error instanceof MongoBulkWriteError && error.code === undefined;

const mayPass = (error: MongoServerError): boolean =>
  isBrokenOff(error) ||
  error instanceof MongoWriteConcernError ||
  (error instanceof MongoBulkWriteError && error.result.getWriteConcernError() !== undefined) ||
  PASSING_CODES.has(Number(error.code));

export const hasCode = (error: unknown, code: number): error is MongoServerError =>
  error instanceof MongoServerError && error.code === code;

/** What the port's callers see of the driver's error: an outage, or what no waiting helps against. */
export function translated(error: unknown): unknown {
  if (!(error instanceof MongoError)) return error;
  // A server's error may quote documents, so it is told by its code, and goes no further.
  if (error instanceof MongoServerError) {
    const message = `MongoDB refused it: ${error.codeName ?? error.code ?? error.name}`;
    return mayPass(error) ? new ReadStoreUnavailable(message) : new Error(message);
  }
  if (error instanceof MongoInvalidArgumentError) return new Error(`MongoDB's driver refused it: ${error.message}`);
  return new ReadStoreUnavailable(`MongoDB does not answer: ${error.name}`, { cause: error });
}
