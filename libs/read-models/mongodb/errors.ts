import {
  MongoBulkWriteError,
  MongoError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoNetworkTimeoutError,
  MongoNotConnectedError,
  MongoServerError,
  MongoServerSelectionError,
  MongoTopologyClosedError,
} from 'mongodb';
import { ReadStoreUnavailable } from '#read-models';

/**
 * Error codes of the MongoDB server (https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml). The
 * server sends no names with the errors of a bulk write, so operators would otherwise see bare numbers.
 */
export const ServerCode = {
  InternalError: 1,
  BadValue: 2,
  HostUnreachable: 6,
  FailedToParse: 9,
  Unauthorized: 13,
  TypeMismatch: 14,
  AuthenticationFailed: 18,
  IllegalOperation: 20,
  LockTimeout: 24,
  NamespaceNotFound: 26,
  NamespaceExists: 48,
  MaxTimeMSExpired: 50,
  CommandNotFound: 59,
  WriteConcernTimeout: 64,
  ImmutableField: 66,
  CannotCreateIndex: 67,
  InvalidOptions: 72,
  InvalidNamespace: 73,
  UnknownReplWriteConcern: 79,
  IndexOptionsConflict: 85,
  IndexKeySpecsConflict: 86,
  NetworkTimeout: 89,
  ShutdownInProgress: 91,
  OperationFailed: 96,
  UnsatisfiableWriteConcern: 100,
  WriteConflict: 112,
  CommandNotSupported: 115,
  DocumentValidationFailure: 121,
  ExceededMemoryLimit: 146,
  CannotIndexParallelArrays: 171,
  QueryPlanKilled: 175,
  PrimarySteppedDown: 189,
  CannotBuildIndexKeys: 201,
  NotImplemented: 238,
  ExceededTimeLimit: 262,
  DataCorruptionDetected: 301,
  TemporarilyUnavailable: 365,
  UserWritesBlocked: 371,
  ResourceExhausted: 402,
  AdmissionQueueOverflow: 433,
  RateLimitExceeded: 449,
  NotWritablePrimary: 10107,
  BSONObjectTooLarge: 10334,
  DuplicateKey: 11000,
  InterruptedAtShutdown: 11600,
  Interrupted: 11601,
  InterruptedDueToReplStateChange: 11602,
  StaleConfig: 13388,
  NotPrimaryNoSecondaryOk: 13435,
  NotPrimaryOrSecondary: 13436,
  OutOfDiskSpace: 14031,
  KeyTooLong: 17280,
  IDLUnknownField: 40415,
} as const;

const NAMES: ReadonlyMap<unknown, string> = new Map(Object.entries(ServerCode).map(([name, code]) => [code, name]));

/** Part of a server's answer that tells of a failure. If the server sends no name, `NAMES` may know it. */
interface ServerFailure {
  readonly code?: number | string | undefined;
  readonly codeName?: string | undefined;
}

const nameOf = ({ code, codeName }: ServerFailure): string =>
  codeName ?? NAMES.get(code) ?? (code === undefined ? 'an error without a code' : `error code ${code}`);

/**
 * Returns every failure that an error tells of. The error of a bulk write shows only the first one as its own code: any
 * number of documents may have failed for different reasons, and the write concern, or a later part of the bulk, too.
 */
export function failuresOf(error: MongoServerError): ServerFailure[] {
  if (!(error instanceof MongoBulkWriteError)) return [error];
  const concern = error.result.getWriteConcernError();
  const parts: ServerFailure[] = [...error.result.getWriteErrors(), ...(concern ? [concern] : [])];
  return parts.some(({ code }) => code === error.code) ? parts : [...parts, error];
}

/** Returns whether the write failed only because some of its new documents are stored already. */
export const isOnlyMisses = (error: unknown): boolean =>
  error instanceof MongoBulkWriteError && failuresOf(error).every(({ code }) => code === ServerCode.DuplicateKey);

/**
 * Describes what the server refused, without its messages, because they may quote documents. Leaves out the documents
 * that are stored already (see `isOnlyMisses`) if there are other failures.
 */
export function refusalOf(error: MongoServerError): string {
  const failures = failuresOf(error);
  const grave = failures.filter(({ code }) => code !== ServerCode.DuplicateKey);
  return [...new Set((grave.length > 0 ? grave : failures).map(nameOf))].join(', ');
}

/**
 * Returns what is wrong with the account in words, if the server refuses it; otherwise `undefined`. A missing right is
 * named by the command and the collection. The rest of the server's message may quote documents.
 */
function accountTroubleOf({ code, message }: MongoServerError): string | undefined {
  if (code === ServerCode.AuthenticationFailed) return 'the user or the password in MONGODB_URL is wrong';
  if (code !== ServerCode.Unauthorized) return undefined;
  const [, command, collection] = /to execute command \{ (\w+): "?(\w+)/.exec(message) ?? [];
  const right = command === undefined ? 'a right' : `the right to ${command} ${collection ?? ''}`;
  return `the account in MONGODB_URL lacks ${right}`;
}

/**
 * Returns the error that has ended a bulk write before the server answered, such as a broken connection: the driver
 * hides it in an error of the server. Returns any other error unchanged.
 */
export function errorOfCall(error: unknown): unknown {
  if (!(error instanceof MongoBulkWriteError)) return error;
  const hidden: unknown = error.errorResponse;
  return hidden instanceof Error && !(hidden instanceof MongoServerError) ? hidden : error;
}

export const hasCode = (error: unknown, code: number): error is MongoServerError =>
  error instanceof MongoServerError && error.code === code;

/** The codes with which servers say that they don't have a command or an option. */
const UNSUPPORTED: ReadonlySet<unknown> = new Set([
  ServerCode.FailedToParse,
  ServerCode.CommandNotFound,
  ServerCode.InvalidOptions,
  ServerCode.CommandNotSupported,
  ServerCode.NotImplemented,
  ServerCode.IDLUnknownField,
]);

/**
 * Returns whether the server does not have what the command asks for. Products that speak MongoDB's protocol answer with
 * many different codes (FerretDB 1 with 238, Azure DocumentDB with 115 or 9, Amazon DocumentDB with 303), so what the
 * message says counts, too.
 */
export const isUnsupported = (error: unknown): error is MongoServerError =>
  error instanceof MongoServerError &&
  (UNSUPPORTED.has(error.code) || /not (yet )?(supported|implemented)|unsupported|unrecognized/i.test(error.message));

/**
 * Matches the codes of Node's socket errors. The driver passes such an error on unchanged when it writes to a
 * connection that the server has closed.
 */
const SOCKET_ERROR = /^(E[A-Z]+|ERR_(STREAM|SOCKET|TLS)_[A-Z_]+)$/;

const socketErrorCode = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' && SOCKET_ERROR.test(error.code) ? error.code : undefined;
};

/** Says why a call had no answer. The name of the driver's class would say it in its words, and changes with it. */
function silenceOf(error: MongoError): string {
  if (error instanceof MongoServerSelectionError) return 'no server that takes the call was found in time';
  if (error instanceof MongoNetworkTimeoutError) return 'a connection gave no answer in time';
  if (error instanceof MongoNetworkError) return 'a connection broke';
  // The driver does not export this class.
  if (error.name === 'MongoWaitQueueTimeoutError') return 'no connection became free in time';
  if (error instanceof MongoNotConnectedError || error instanceof MongoTopologyClosedError) return 'it is closed';
  return 'the call failed on its way';
}

/**
 * Turns every error of the server, and every broken connection, into `ReadStoreUnavailable`: an operator may remove any
 * cause of a refusal, and then the same call succeeds. Only a call that the driver itself does not send becomes a plain
 * `Error`. Returns all other errors unchanged.
 */
export function asPortError(thrown: unknown): unknown {
  const error = errorOfCall(thrown);
  if (!(error instanceof MongoError)) {
    const code = socketErrorCode(error);
    return code === undefined ? error : new ReadStoreUnavailable(`MongoDB does not answer: ${code}`, { cause: error });
  }
  if (error instanceof MongoServerError) {
    const account = accountTroubleOf(error);
    const message = `MongoDB refused it: ${refusalOf(error)}${account === undefined ? '' : ` (${account})`}`;
    return new ReadStoreUnavailable(message, { needsOperator: account !== undefined });
  }
  if (error instanceof MongoInvalidArgumentError) {
    const isTooLarge = error.message.includes('larger than the maximum size');
    const what = isTooLarge ? 'a document is too large for it' : 'it does not take a call like this';
    return new Error(`MongoDB was not asked: ${what}`, { cause: error });
  }
  return new ReadStoreUnavailable(`MongoDB does not answer: ${silenceOf(error)}`, { cause: error });
}
