import { ErrorType } from '@eventstore/db-client';
import { EventTooLarge, LogRefused, LogUnavailable } from '#event-log';
import { asPortError, isNoPlaceInLog, isTooSlow, isTransient, namingRight } from './errors.js';

const failure = (message: string, fields: { type?: unknown; code?: number } = {}) =>
  Object.assign(new Error(message), fields);

/**
 * Errors that may go away by themselves. The driver was seen to throw them, or can throw them according to its source
 * code. Whatever else a server may come to answer passes, too.
 */
const PASSING = {
  'a killed server': failure('read ECONNRESET', { type: ErrorType.UNAVAILABLE, code: 14 }),
  'a server that is down, by a plain error': failure('14 UNAVAILABLE: No connection established', { code: 14 }),
  'a server that ends': failure('Received RST_STREAM with code 0', { type: ErrorType.UNKNOWN, code: 13 }),
  'a deadline': failure('4 DEADLINE_EXCEEDED', { type: ErrorType.DEADLINE_EXCEEDED, code: 4 }),
  'a follower': failure('Leader is elsewhere', { type: ErrorType.NOT_LEADER, code: 5 }),
  'an election': failure('Could not recognize Server Is Not Ready', { type: ErrorType.UNKNOWN }),
  'a cluster without a leader': failure('Failed to discover after 10 attempts.'),
  'a disposed client': failure('Channel has been shut down'),
  'calls that are cancelled': failure('1 CANCELLED', { type: ErrorType.CANCELLED, code: 1 }),
  'a server that is asked too much': failure('Bandwidth exhausted or memory limit exceeded', { code: 8 }),
  'an exception of the server': failure('Exception was thrown by handler.', { type: ErrorType.UNKNOWN, code: 2 }),
  'a code that no version has yet': failure('99 SOMETHING_NEW', { type: ErrorType.UNKNOWN, code: 99 }),
  'an error without type and code': failure('The weather is bad'),
  'a subscription that was cut off': failure('Consumer too slow', { type: ErrorType.TIMEOUT, code: 10 }),
};

const FINAL = {
  'a stream that is not there': failure('not found', { type: ErrorType.STREAM_NOT_FOUND }),
  'a stream that was deleted': failure('deleted', { type: ErrorType.STREAM_DELETED, code: 9 }),
  'a place that is none': failure('Unexpected ReadAllResult: Error', { type: ErrorType.UNKNOWN, code: 2 }),
  'an argument that this version does not take': failure('3', { type: ErrorType.INVALID_ARGUMENT, code: 3 }),
  'an invalid call, of a type that the driver does not know': failure('3', { type: ErrorType.UNKNOWN, code: 3 }),
  'a place that is none, on 24.10': failure('Trying to read from an invalid position', { code: 3 }),
};

const OUR_OWN = {
  'a mistake of ours': new TypeError('x is not a function'),
  'an append that is too large': new EventTooLarge('consumerClient-1', 2 ** 21),
};

/** What an operator can change at any time. */
const REFUSED = {
  'a wrong password': failure('16 UNAUTHENTICATED: ', { type: ErrorType.ACCESS_DENIED, code: 16 }),
  'a missing right': failure('7 PERMISSION_DENIED: Access Denied', { type: ErrorType.UNKNOWN, code: 7 }),
  'a missing right, by its name': failure('Access Denied', { type: ErrorType.ACCESS_DENIED }),
};

describe('an error of the driver', () => {
  it.each(Object.entries(PASSING))('may pass: %s', (_, error) => {
    expect(isTransient(error)).toBe(true);
    expect(asPortError(error)).toBeInstanceOf(LogUnavailable);
    expect(asPortError(error).cause).toBe(error);
    expect(asPortError(error).message).toMatch(/^EventStoreDB is not available: [a-z]/);
  });

  it.each(Object.entries(FINAL))('will not pass: %s', (_, error) => {
    expect(isTransient(error)).toBe(false);
    expect(asPortError(error)).toBeInstanceOf(LogUnavailable);
    expect(asPortError(error).cause).toBe(error);
    expect(asPortError(error).message).toMatch(/^EventStoreDB refused a call: [a-z]/);
  });

  it('is told in our own words, since the driver may quote what was sent', () => {
    for (const error of Object.values({ ...PASSING, ...FINAL, ...REFUSED })) {
      const fields = Object.fromEntries(Object.entries(error));
      const quoting = Object.assign(new Error(`${error.message} "Forecast importer"`), fields);
      expect(asPortError(quoting).message).not.toContain('Forecast');
    }
    const { message } = asPortError(PASSING['a server that is down, by a plain error']);
    expect(message).toBe('EventStoreDB is not available: a call ended with status 14 (UNAVAILABLE)');
  });

  it.each(Object.entries(OUR_OWN))('is not: %s', (_, error) => {
    expect(isTransient(error)).toBe(false);
    expect(asPortError(error)).toBe(error);
  });

  it.each(Object.entries(REFUSED))('of a refused account is told at once, and named: %s', (_, error) => {
    expect(isTransient(error)).toBe(false);
    expect(asPortError(error)).toBeInstanceOf(LogRefused);
    const told = asPortError(namingRight(error, '$r', 'log', { urlName: '--from' }));
    expect(told).toBeInstanceOf(LogRefused);
    expect(told).toMatchObject({ kind: 'unavailable', cause: error });
    expect(told.message).toMatch(/^EventStoreDB refuses the (user or the password|account) in --from/);
    expect(isTransient(told)).toBe(false);
  });

  it('shows that no event has the position of a read', () => {
    expect(isNoPlaceInLog(FINAL['a place that is none'])).toBe(true);
    expect(isNoPlaceInLog(PASSING['an exception of the server'])).toBe(false);
  });

  it('shows whether a slow consumer was cut off or the connection broke', () => {
    expect(Object.entries(PASSING).flatMap(([what, error]) => (isTooSlow(error) ? [what] : []))).toEqual([
      'a subscription that was cut off',
    ]);
  });
});
