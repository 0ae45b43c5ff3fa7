import {
  type BulkWriteResult,
  MongoBulkWriteError,
  MongoDriverError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoNetworkTimeoutError,
  MongoServerError,
  MongoWriteConcernError,
} from 'mongodb';
import { ReadStoreUnavailable } from '#read-models';
import { asPortError, isOnlyMisses } from './errors.js';

const QUOTED = 'dup key: { name: "Forecast importer" }';
const refused = (code: number, codeName: string) => new MongoServerError({ message: QUOTED, code, codeName });

/** The result of a bulk write in which documents, and perhaps the write concern, failed with these codes. */
const resultWith = (codes: readonly number[], concern?: number): BulkWriteResult =>
  ({
    getWriteErrors: () => codes.map((code) => ({ code, errmsg: QUOTED })),
    getWriteConcernError: () => concern && { code: concern, errmsg: QUOTED },
  }) as unknown as BulkWriteResult;

/** Wraps an error in the same way as the driver does when the error ends a bulk write. */
const ofBulk = (error: Error, codes: readonly number[] = []): MongoBulkWriteError =>
  new MongoBulkWriteError(error, resultWith(codes));

/** Makes the error that the driver throws for a bulk write in which single documents failed with these codes. */
const ofDocuments = (codes: readonly number[], concern?: number): MongoBulkWriteError => {
  const [code = concern] = codes;
  return new MongoBulkWriteError({ message: QUOTED, code } as unknown as Error, resultWith(codes, concern));
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
    expect(shown).toMatchObject({ message: 'MongoDB was not asked: a document is too large for it' });
  });

  const poolTimeout = Object.defineProperty(new MongoDriverError('Timed out while checking out a connection'), 'name', {
    value: 'MongoWaitQueueTimeoutError',
  });
  it.each<[string, Error, string]>([
    ['no connection of the pool became free', poolTimeout, 'no connection became free in time'],
    ['a connection broke', new MongoNetworkError('read ECONNRESET'), 'a connection broke'],
    ['a connection gave no answer', new MongoNetworkTimeoutError('10.0.0.1'), 'a connection gave no answer in time'],
    ['a socket was closed', Object.assign(new Error('This socket has been ended'), { code: 'EPIPE' }), 'EPIPE'],
  ])('is an outage and no refusal, also in a bulk: %s', (_, error, why) => {
    for (const shown of [asPortError(error), asPortError(ofBulk(error))]) {
      expect(shown).toBeInstanceOf(ReadStoreUnavailable);
      expect(shown).toMatchObject({ message: `MongoDB does not answer: ${why}`, cause: error });
    }
  });

  it('that is our own mistake stays as it is in a bulk, too', () => {
    const mistake = new TypeError('x is not a function');
    expect(asPortError(ofBulk(mistake))).toBe(mistake);
  });

  it('names the refusal', () => {
    expect(asPortError(refused(91_000, 'SomethingNew'))).toMatchObject({ message: 'MongoDB refused it: SomethingNew' });
  });

  it.each<[string, MongoServerError, string]>([
    [
      'a document that is stored, and one that the schema forbids',
      ofDocuments([11000, 121]),
      'DocumentValidationFailure',
    ],
    ['a document that is stored, and a conflict', ofDocuments([11000, 112]), 'WriteConflict'],
    ['several reasons', ofDocuments([121, 11000, 112, 121]), 'DocumentValidationFailure, WriteConflict'],
    ['a document that is stored, and too few copies', ofDocuments([11000], 64), 'WriteConcernTimeout'],
    [
      'a part that failed after another part',
      ofBulk(refused(189, 'PrimarySteppedDown'), [121]),
      'DocumentValidationFailure, PrimarySteppedDown',
    ],
    ['only documents that are stored', ofDocuments([11000, 11000]), 'DuplicateKey'],
    ['a code without a name', ofDocuments([91_001]), 'error code 91001'],
  ])('names everything that failed in a bulk: %s', (_, error, named) => {
    expect(asPortError(error)).toMatchObject({ message: `MongoDB refused it: ${named}` });
  });

  it('quotes no document', () => {
    for (const error of [refused(11000, 'DuplicateKey'), refused(189, 'PrimarySteppedDown'), ofDocuments([121])]) {
      const shown = asPortError(error) as Error;
      expect([shown.message, shown.cause]).toEqual([expect.not.stringContaining('Forecast'), undefined]);
    }
  });

  it.each<[string, boolean, unknown]>([
    ['documents that are stored already', true, ofDocuments([11000, 11000])],
    ['a whole bulk for a document that is stored already', true, ofBulk(refused(11000, 'DuplicateKey'))],
    ['another document for another reason', false, ofDocuments([11000, 121])],
    ['another part of the bulk', false, ofBulk(refused(189, 'PrimarySteppedDown'), [11000])],
    ['too few copies', false, ofDocuments([11000], 64)],
    ['a broken connection', false, ofBulk(new MongoNetworkError('read ECONNRESET'), [11000])],
  ])('that refuses %s means only misses: %s', (_, isMiss, error) => {
    expect(isOnlyMisses(error)).toBe(isMiss);
  });

  it('that is our own mistake stays as it is', () => {
    const mistake = new TypeError('x is not a function');
    expect(asPortError(mistake)).toBe(mistake);
  });
});
