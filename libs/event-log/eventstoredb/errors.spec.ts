import { ErrorType } from '@eventstore/db-client';
import { LogUnavailable } from '#event-log';
import { inTrouble, isNoPlaceInLog, isTooSlow, mayPass, translated } from './errors.js';

const failure = (message: string, fields: { type?: unknown; code?: number } = {}) =>
  Object.assign(new Error(message), fields);

/** As they were seen, or are the driver's to throw. */
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
    expect(mayPass(error)).toBe(true);
    expect(translated(error)).toBeInstanceOf(LogUnavailable);
    expect(translated(error).cause).toBe(error);
  });

  it.each(Object.entries(FINAL))('will not pass: %s', (_, error) => {
    expect(mayPass(error)).toBe(false);
    expect(translated(error)).not.toBeInstanceOf(LogUnavailable);
  });

  it('without a reason is the server’s trouble, but for a place that is not there', () => {
    const handler = failure('Exception was thrown by handler.', { type: ErrorType.UNKNOWN, code: 2 });
    expect(inTrouble(handler, 'read')).toBeInstanceOf(LogUnavailable);
    const place = failure('Unexpected ReadAllResult: Error', { type: ErrorType.UNKNOWN, code: 2 });
    expect(inTrouble(place, 'read')).toBe(place);
    expect(isNoPlaceInLog(place)).toBe(true);
    expect(inTrouble(FINAL['who may not'], 'read')).toBe(FINAL['who may not']);
  });

  it('tells the cut of a slow consumer from a broken connection', () => {
    expect(Object.entries(PASSING).flatMap(([what, error]) => (isTooSlow(error) ? [what] : []))).toEqual([
      'a subscription that was cut off',
    ]);
  });
});
