import {
  type BulkWriteResult,
  MongoBulkWriteError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoServerError,
  MongoWriteConcernError,
} from 'mongodb';
import { ReadStoreUnavailable } from '#read-models';
import { asPortError } from './errors.js';

const QUOTED = 'dup key: { name: "Forecast importer" }';
const refused = (code: number, codeName: string) => new MongoServerError({ message: QUOTED, code, codeName });

/** Wraps an error in the same way as the driver does when the error ends a bulk write. */
const ofBulk = (error: Error): MongoBulkWriteError => {
  const none: Partial<BulkWriteResult> = { getWriteConcernError: () => undefined };
  return new MongoBulkWriteError(error, none as BulkWriteResult);
};

describe('an error of the driver', () => {
  it.each<[string, unknown]>([
    ['a broken connection', new MongoNetworkError('connection 3 to 10.0.0.1 closed')],
    ['a socket that the server has closed', Object.assign(new Error('This socket has been ended'), { code: 'EPIPE' })],
    ['a socket that was destroyed', Object.assign(new Error('Destroyed'), { code: 'ERR_STREAM_DESTROYED' })],
    ['a connection that broke during a bulk', ofBulk(new MongoNetworkError('read ECONNRESET'))],
    ['a primary that stepped down during a bulk', ofBulk(refused(189, 'PrimarySteppedDown'))],
    ['a primary that stepped down', refused(189, 'PrimarySteppedDown')],
    ['a server that is no primary', refused(10107, 'NotWritablePrimary')],
    ['an operation that an operator ended', refused(11601, 'Interrupted')],
    ['a find whose build was dropped', refused(175, 'QueryPlanKilled')],
    [
      'too few copies of a write',
      new MongoWriteConcernError({ ok: 1, writeConcernError: { code: 64, errmsg: 'wtimeout' } }),
    ],
    ['a call that took too long', refused(50, 'MaxTimeMSExpired')],
    ['an account without rights, for as long as it has none', refused(13, 'Unauthorized')],
    ['a document that the schema forbids', refused(121, 'DocumentValidationFailure')],
    ['a bulk that the server does not take', ofBulk(refused(91_001, 'InvalidSomething'))],
    ['a document that is too large', refused(10334, 'BSONObjectTooLarge')],
    ['an index that is another', refused(86, 'IndexKeySpecsConflict')],
    ['what nobody has foreseen', refused(91_000, 'SomethingNew')],
  ])('is an outage: %s', (_, error) => {
    expect(asPortError(error)).toBeInstanceOf(ReadStoreUnavailable);
  });

  it('is no outage: a document that the driver does not even send', () => {
    const shown = asPortError(new MongoInvalidArgumentError('Document is larger than the maximum size 16777216'));
    expect(shown).not.toBeInstanceOf(ReadStoreUnavailable);
    expect(String(shown)).toContain('larger than the maximum size');
  });

  it('names the refusal', () => {
    expect(asPortError(refused(91_000, 'SomethingNew'))).toMatchObject({ message: 'MongoDB refused it: SomethingNew' });
  });

  it('quotes no document', () => {
    for (const error of [refused(11000, 'DuplicateKey'), refused(189, 'PrimarySteppedDown')]) {
      const shown = asPortError(error) as Error;
      expect([shown.message, shown.cause]).toEqual([expect.not.stringContaining('Forecast'), undefined]);
    }
  });

  it('that is our own mistake stays as it is', () => {
    const mistake = new TypeError('x is not a function');
    expect(asPortError(mistake)).toBe(mistake);
  });
});
