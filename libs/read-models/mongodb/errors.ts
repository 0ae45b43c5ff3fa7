import { MongoError, MongoInvalidArgumentError, MongoServerError } from 'mongodb';
import { ReadStoreUnavailable } from '#read-models';

/** Error codes of the MongoDB server (https://www.mongodb.com/docs/manual/reference/error-codes/). */
export const ServerCode = {
  BadValue: 2,
  NamespaceNotFound: 26,
  NamespaceExists: 48,
  CommandNotFound: 59,
  DuplicateKey: 11000,
} as const;

export const hasCode = (error: unknown, code: number): error is MongoServerError =>
  error instanceof MongoServerError && error.code === code;

/**
 * Matches the codes of Node's socket errors. The driver passes such an error on unchanged when it writes to a
 * connection that the server has closed.
 */
const SOCKET_ERROR = /^(E[A-Z]+|ERR_(STREAM|SOCKET|TLS)_[A-Z_]+)$/;

const socketErrorCode = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' && SOCKET_ERROR.test(error.code) ? error.code : undefined;
};

/**
 * Turns every error of the server, and every broken connection, into `ReadStoreUnavailable`: an operator may remove any
 * cause of a refusal, and then the same call succeeds. Only a call that the driver itself does not send becomes a plain
 * `Error`. Returns all other errors unchanged.
 */
export function asPortError(error: unknown): unknown {
  if (!(error instanceof MongoError)) {
    const code = socketErrorCode(error);
    return code === undefined ? error : new ReadStoreUnavailable(`MongoDB does not answer: ${code}`, { cause: error });
  }
  // The message of a server's error may quote documents, so only the error's code is passed on.
  if (error instanceof MongoServerError) {
    return new ReadStoreUnavailable(`MongoDB refused it: ${error.codeName ?? error.code ?? error.name}`);
  }
  if (error instanceof MongoInvalidArgumentError) return new Error(`MongoDB's driver refused it: ${error.message}`);
  return new ReadStoreUnavailable(`MongoDB does not answer: ${error.name}`, { cause: error });
}
