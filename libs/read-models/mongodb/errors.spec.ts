import {
  type BulkWriteResult,
  MongoBulkWriteError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoServerError,
  MongoWriteConcernError,
} from 'mongodb';
import { ReadStoreUnavailable } from '#read-models';
import { translated } from './errors.js';

const QUOTED = 'dup key: { name: "Forecast importer" }';
const refused = (code: number, codeName: string) => new MongoServerError({ message: QUOTED, code, codeName });

/** As the driver throws whatever ends a bulk. */
const ofBulk = (error: Error): MongoBulkWriteError => {
  const none: Partial<BulkWriteResult> = { getWriteConcernError: () => undefined };
  return new MongoBulkWriteError(error, none as BulkWriteResult);
};

describe('an error of the driver', () => {
  it.each<[string, unknown]>([
    ['a broken connection', new MongoNetworkError('connection 3 to 10.0.0.1 closed')],
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
  ])('is an outage: %s', (_, error) => {
    expect(translated(error)).toBeInstanceOf(ReadStoreUnavailable);
  });

  it.each<[string, MongoServerError]>([
    ['a document that the schema forbids', refused(121, 'DocumentValidationFailure')],
    ['a bulk that the server does not take', ofBulk(refused(91_001, 'InvalidSomething'))],
    ['a document that is too large', refused(10334, 'BSONObjectTooLarge')],
    ['an index that is another', refused(86, 'IndexKeySpecsConflict')],
    ['what nobody has foreseen', refused(91_000, 'SomethingNew')],
  ])('stops its reader, which no waiting would help: %s', (_, error) => {
    const shown = translated(error) as Error;
    expect(shown).not.toBeInstanceOf(ReadStoreUnavailable);
    expect(shown.message).toBe(`MongoDB refused it: ${error.codeName}`);
  });

  it('stops its reader: a document that the driver does not even send', () => {
    const shown = translated(new MongoInvalidArgumentError('Document is larger than the maximum size 16777216'));
    expect(shown).not.toBeInstanceOf(ReadStoreUnavailable);
    expect(String(shown)).toContain('larger than the maximum size');
  });

  it('quotes no document', () => {
    for (const error of [refused(11000, 'DuplicateKey'), refused(189, 'PrimarySteppedDown')]) {
      const shown = translated(error) as Error;
      expect([shown.message, shown.cause]).toEqual([expect.not.stringContaining('Forecast'), undefined]);
    }
  });

  it('that is a mistake of ours stays as it is', () => {
    const mistake = new TypeError('x is not a function');
    expect(translated(mistake)).toBe(mistake);
  });
});
