import { ErrorType } from '@eventstore/db-client';
import { LogUnavailable } from '#event-log';
import { asPortError, isNoPlaceInLog, isTooSlow, isTransient, unknownAsUnavailable } from './errors.js';

const failure = (message: string, fields: { type?: unknown; code?: number } = {}) =>
  Object.assign(new Error(message), fields);

/**
 * Errors that may go away by themselves. The driver was seen to throw them, or can throw them according to its source
 * code.
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
  'a subscription that was cut off': failure('Consumer too slow', { type: ErrorType.TIMEOUT, code: 10 }),
};

const FINAL = {
  'a stream that is not there': failure('not found', { type: ErrorType.STREAM_NOT_FOUND }),
  'a stream that was deleted': failure('deleted', { type: ErrorType.STREAM_DELETED, code: 9 }),
  'who may not': failure('Access Denied', { type: ErrorType.ACCESS_DENIED, code: 7 }),
  'a mistake of ours': new TypeError('x is not a function'),
};

describe('an error of the driver', () => {
  it.each(Object.entries(PASSING))('may pass: %s', (_, error) => {
    expect(isTransient(error)).toBe(true);
    expect(asPortError(error)).toBeInstanceOf(LogUnavailable);
    expect(asPortError(error).cause).toBe(error);
  });

  it.each(Object.entries(FINAL))('will not pass: %s', (_, error) => {
    expect(isTransient(error)).toBe(false);
    expect(asPortError(error)).not.toBeInstanceOf(LogUnavailable);
  });

  it('without a reason means that the server is unavailable, unless a position does not exist', () => {
    const handler = failure('Exception was thrown by handler.', { type: ErrorType.UNKNOWN, code: 2 });
    expect(unknownAsUnavailable(handler, 'read')).toBeInstanceOf(LogUnavailable);
    const place = failure('Unexpected ReadAllResult: Error', { type: ErrorType.UNKNOWN, code: 2 });
    expect(unknownAsUnavailable(place, 'read')).toBe(place);
    expect(isNoPlaceInLog(place)).toBe(true);
    expect(unknownAsUnavailable(FINAL['who may not'], 'read')).toBe(FINAL['who may not']);
  });

  it('shows whether a slow consumer was cut off or the connection broke', () => {
    expect(Object.entries(PASSING).flatMap(([what, error]) => (isTooSlow(error) ? [what] : []))).toEqual([
      'a subscription that was cut off',
    ]);
  });
});
