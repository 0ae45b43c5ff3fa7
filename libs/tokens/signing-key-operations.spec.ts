import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MasterKeys } from '#credentials';
import { secondsAfter, signingKey, type SigningKeysState } from '#domain';
import { type BookOfRecord, internalContext, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { MasterKeyMismatch, SigningKeyOperations, SigningKeyRing } from '#tokens';

const START = '2026-06-01T12:00:00.000Z';

const newContext = () => internalContext({ via: 'cli', subject: 'operator', correlationId: 'test' });

const statuses = ({ keys }: SigningKeysState) => keys.map(({ status }) => status);

describe('an operator', () => {
  const former = randomBytes(32);
  const masterKeys = MasterKeys.from({ current: former });
  let directory: string;
  let book: BookOfRecord;
  let seconds: number;

  const now = () => new Date(secondsAfter(START, seconds));
  const startedRing = async (keys: MasterKeys) => {
    const ring = new SigningKeyRing(book.signingKeys, keys, { alg: 'EdDSA', now });
    await ring.start();
    return ring;
  };
  const operator = async (keys = masterKeys) =>
    new SigningKeyOperations(book.signingKeys, {
      ...{ ring: await startedRing(keys), masterKeys: keys },
      ...{ newContext, now },
    });
  const state = async () => (await book.signingKeys.read()).state;

  beforeEach(async () => {
    seconds = 0;
    directory = await mkdtemp(join(tmpdir(), 'signing-keys-'));
    book = await openBookOfRecord(await openSqliteEventLog({ file: join(directory, 'events.db') }), now);
  });
  afterEach(async () => {
    await book.log.close();
    await rm(directory, { recursive: true });
  });

  it('publishes one key at a time, which will follow the signing key', async () => {
    const keys = await operator();
    const next = await keys.rotate();
    expect(next.status).toBe('PUBLISHED');
    expect((await keys.rotate()).kid).toBe(next.kid);
    seconds = 600;
    await startedRing(masterKeys);
    expect(signingKey(await state())?.kid).toBe(next.kid);
    expect((await keys.rotate()).kid).not.toBe(next.kid);
    expect(statuses(await state())).toEqual(['RETIRED', 'SIGNING', 'PUBLISHED']);
  });

  it('compromises the signing key, and another one takes over in the same moment', async () => {
    const keys = await operator();
    const kid = signingKey(await state())?.kid ?? '';
    expect(statuses(await keys.compromise(kid))).toEqual(['COMPROMISED', 'SIGNING']);
    const types = (await book.log.readStream('signingKeys', { consistency: 'strong' })).map(({ type }) => type);
    expect(types.slice(-3)).toEqual(['SigningKeyPublished', 'SigningKeyCompromised', 'SigningKeyActivated']);
    expect(statuses(await keys.compromise(kid))).toEqual(['COMPROMISED', 'SIGNING']);
  });

  it('publishes another key if a wrong clock dated the waiting key in the future, and that key signs first', async () => {
    const keys = await operator();
    seconds = 86_400;
    const late = await keys.rotate();
    seconds = 0;
    const timely = await keys.rotate();
    expect(timely.kid).not.toBe(late.kid);
    expect((await keys.rotate()).kid).toBe(timely.kid);
    seconds = 600;
    await startedRing(masterKeys);
    expect(signingKey(await state())?.kid).toBe(timely.kid);
  });

  it('compromises a waiting or retired key, and the others stay', async () => {
    const keys = await operator();
    const { kid } = await keys.rotate();
    expect(statuses(await keys.compromise(kid))).toEqual(['SIGNING', 'COMPROMISED']);
    await expect(keys.compromise('unknown')).rejects.toMatchObject({ code: 'signing_key_not_found' });
    expect(statuses(await state())).toEqual(['SIGNING', 'COMPROMISED']);
  });

  it('wraps every usable key under a new master key, after which the former one is not needed', async () => {
    const keys = await operator();
    const first = signingKey(await state())?.kid ?? '';
    await keys.rotate();
    seconds = 600;
    await startedRing(masterKeys);
    const { kid: lost } = await keys.rotate();
    await keys.compromise(lost);
    const current = randomBytes(32);
    const alone = MasterKeys.from({ current });
    const renewed = await operator(MasterKeys.from({ current, previous: [former] }));
    await expect(startedRing(alone)).rejects.toThrow(MasterKeyMismatch);
    expect(await renewed.rewrap()).toBe(2);
    expect(await renewed.rewrap()).toBe(0);
    const ring = await startedRing(alone);
    const after = await state();
    expect(ring.signer(after).kid).toBe(signingKey(after)?.kid);
    expect(ring.signerOf(after, first).kid).toBe(first);
  });
});
