import { ErrorType } from '@eventstore/db-client';
import { Failure } from '#domain';
import { LogRefused, LogRestored, LogUnavailable } from '#event-log';

/** The server's answers that say something about the stream or the append. Waiting does not change them. */
const ANSWERS = new Set<unknown>([
  ErrorType.WRONG_EXPECTED_VERSION,
  ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED,
  ErrorType.STREAM_NOT_FOUND,
  ErrorType.STREAM_DELETED,
]);

/** The gRPC code for an argument that the server does not take, whatever happens to the server later. */
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

/**
 * Returns the driver's `type` of an error; `undefined` for an error without a type. We can't use `instanceof`,
 * because the driver does not export all its error classes.
 */
export const typeOf = (error: unknown): unknown => (error instanceof Error && 'type' in error ? error.type : undefined);

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether the server does not know the user, or the password is wrong. */
const isUnknownUser = (error: unknown): boolean => codeOf(error) === UNAUTHENTICATED;

/** Whether the account lacks a right. The driver's type is the same for an unknown user. */
export const isDenied = (error: unknown): boolean =>
  (typeOf(error) === ErrorType.ACCESS_DENIED && !isUnknownUser(error)) || codeOf(error) === PERMISSION_DENIED;

/** Whether the server refused the account, or the account lacks a right. An operator can change this at any time. */
const isRefusedAccount = (error: unknown): boolean =>
  error instanceof LogRefused || isDenied(error) || isUnknownUser(error);

/** The rights of EventStoreDB's access lists that this service needs, and what each of them allows. */
const RIGHTS = { $r: 'read', $w: 'write to', $mr: 'read the metadata of', $mw: 'write the metadata of' } as const;

/** The stream whose metadata says who may read the whole log. */
export const ALL_STREAMS = '$all';

/** A part of the adapter that knows where its connection string comes from. */
interface NamedSource {
  /** What operators call the connection string: the environment variable, or the option of a command. */
  readonly urlName: string;
}

/**
 * Returns the error of a call that needs this right on this stream: a `LogRefused` that names the connection string, if
 * the server does not know the user, or if the account lacks the right; and otherwise the error itself.
 */
export function namingRight(
  error: unknown,
  right: keyof typeof RIGHTS,
  stream: string,
  { urlName }: NamedSource,
): unknown {
  if (isUnknownUser(error)) {
    return new LogRefused(`EventStoreDB refuses the user or the password in ${urlName}`, { cause: error });
  }
  if (!isDenied(error)) return error;
  const what = `the right to ${RIGHTS[right]} ${stream} (${right})`;
  return new LogRefused(`EventStoreDB refuses the account in ${urlName} ${what}`, { cause: error });
}

/** Whether the server refuses what the call says. The same call is refused again, unless the log changes. */
export const isInvalid = (error: unknown): boolean => codeOf(error) === INVALID_ARGUMENT;

/**
 * Whether an append is larger than the server takes, or one of its events is larger than the server's option
 * `MaxAppendEventSize`, which the driver does not know.
 */
export const isTooLarge = (error: unknown): boolean =>
  typeOf(error) === ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED ||
  (isInvalid(error) && /Maximum Append Event Size/i.test(messageOf(error)));

/** Whether the error comes from this program, and not from the server, the driver or the network. */
const isOurOwn = (error: unknown): boolean =>
  error instanceof LogUnavailable
    ? false
    : error instanceof Failure ||
      error instanceof TypeError ||
      error instanceof RangeError ||
      error instanceof ReferenceError;

/**
 * Whether the same call may succeed a moment later, on a new connection. This holds for every error except the server's
 * answers (`ANSWERS`), a call that the server finds invalid, the refusal of an account, a restored log, and our own
 * errors. We don't list the errors that pass, because such a list is never complete.
 */
export const isTransient = (error: unknown): boolean =>
  !isOurOwn(error) &&
  !(error instanceof LogRestored) &&
  !ANSWERS.has(typeOf(error)) &&
  !isInvalid(error) &&
  !isNoPlaceInLog(error) &&
  !isRefusedAccount(error);

/** Whether the server has ended a live subscription because the subscriber was too slow. */
export const isTooSlow = (error: unknown): boolean => typeOf(error) === ErrorType.TIMEOUT;

/** Whether a read failed because no event has the position at which the read was to begin. */
export const isNoPlaceInLog = (error: unknown): boolean =>
  typeOf(error) === ErrorType.UNKNOWN && messageOf(error).includes('Unexpected ReadAllResult');

/** Whether the stream was deleted for ever (tombstoned). */
export const isTombstonedStream = (error: unknown): boolean => typeOf(error) === ErrorType.STREAM_DELETED;

export const isMissingStream = (error: unknown): boolean => typeOf(error) === ErrorType.STREAM_NOT_FOUND;

/** The names of gRPC's status codes (https://grpc.io/docs/guides/status-codes). */
const STATUS_NAMES: ReadonlyMap<unknown, string> = new Map(
  [
    ...['CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
    ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED'],
    ...['INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
  ].map((name, index) => [index + 1, name]),
);

/** What the types of the driver's errors mean, where a status code would say less or something else. */
const MEANINGS: ReadonlyMap<unknown, string> = new Map([
  [ErrorType.NOT_LEADER, 'the node is not the leader'],
  [ErrorType.TIMEOUT, 'it has ended a subscription that was too slow'],
  [ErrorType.STREAM_NOT_FOUND, 'there is no such stream'],
  [ErrorType.STREAM_DELETED, 'the stream was tombstoned'],
]);

/** Says why a call failed. The driver's own message is left out: it may quote what was sent. */
function reasonOf(error: unknown): string {
  if (isNoPlaceInLog(error)) return 'no event has the position of a read';
  const meaning = MEANINGS.get(typeOf(error));
  if (meaning !== undefined) return meaning;
  const code = codeOf(error);
  if (typeof code === 'string') return code;
  if (typeof code !== 'number') {
    return messageOf(error).startsWith('Failed to discover') ? 'no leader was found' : 'a call had no answer';
  }
  const name = STATUS_NAMES.get(code);
  return `a call ended with status ${code}${name === undefined ? '' : ` (${name})`}`;
}

/**
 * Turns an error of the driver into `LogUnavailable` for callers of `EventLog`. Our own errors are returned unchanged.
 */
export function asPortError(error: unknown): Error {
  if (error instanceof LogUnavailable || (error instanceof Error && isOurOwn(error))) return error;
  if (isRefusedAccount(error))
    return new LogRefused(`EventStoreDB refuses the account: ${reasonOf(error)}`, { cause: error });
  const what = isTransient(error) ? 'is not available' : 'refused a call';
  return new LogUnavailable(`EventStoreDB ${what}: ${reasonOf(error)}`, { cause: error });
}
