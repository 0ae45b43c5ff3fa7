import { MongoError, MongoServerError } from 'mongodb';
import { ReadStoreUnavailable } from '#read-models';

/** Codes of the server's errors (https://www.mongodb.com/docs/manual/reference/error-codes/). */
export const ServerCode = {
  BadValue: 2,
  NamespaceNotFound: 26,
  NamespaceExists: 48,
  CommandNotFound: 59,
  DuplicateKey: 11000,
} as const;

export const hasCode = (error: unknown, code: number): error is MongoServerError =>
  error instanceof MongoServerError && error.code === code;

/** What the port's callers see of the driver's error; every other is a mistake of ours, and stays as it is. */
export function translated(error: unknown): unknown {
  if (!(error instanceof MongoError)) return error;
  // A server's error may quote documents, so it is told by its code, and goes no further.
  if (error instanceof MongoServerError) {
    return new ReadStoreUnavailable(`MongoDB refused it: ${error.codeName ?? error.code ?? error.name}`);
  }
  return new ReadStoreUnavailable(`MongoDB does not answer: ${error.name}`, { cause: error });
}
