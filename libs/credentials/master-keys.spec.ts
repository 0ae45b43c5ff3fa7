import { inspect } from 'node:util';
import { MasterKeyInvalid, type MasterKeyPurpose, MasterKeys, MasterKeyUnknown } from '#credentials';

const key = (fill: number) => Buffer.alloc(32, fill);
const counting = Buffer.from(Array.from({ length: 32 }, (_, index) => index));

const refusalOf = (make: () => unknown): Error => {
  try {
    make();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('It was not refused');
};

describe('master keys', () => {
  it('derive the same keys for ever, as when the first credential was stored', () => {
    const keys = MasterKeys.from({ current: counting });
    expect(keys.currentId).toBe('2686bbb6ed54d962');
    expect(keys.checkValue()).toBe('55f13c2573c2ebdedc6d1e66af841c3ad83197c1d652c13c7c37971cc2fa71aa');
    expect(keys.derive('pepper').toString('hex')).toBe(
      'a246b72181202c2ddde8d3ec4b3b6d78fd9860006835741d5ec1695c968813e5',
    );
  });

  it('derive different 32 bytes for each purpose and master key, the same each time', () => {
    const purposes: Record<MasterKeyPurpose, true> = {
      'secret-check': true,
      pepper: true,
      draft: true,
      'key-wrapping': true,
      'key-check': true,
      'bootstrap-issuer': true,
      'refresh-token': true,
    };
    const keys = MasterKeys.from({ current: key(1), previous: [key(2)] });
    const derive = () =>
      keys.ids.flatMap((id) => (Object.keys(purposes) as MasterKeyPurpose[]).map((name) => keys.derive(name, id)));
    const derived = derive();
    expect(derived.every(({ length }) => length === 32)).toBe(true);
    expect(new Set(derived.map((bytes) => bytes.toString('hex'))).size).toBe(14);
    expect(derive()).toEqual(derived);
  });

  it('use the current one for new material, and know the previous ones by their ids', () => {
    const old = MasterKeys.from({ current: key(1) });
    const keys = MasterKeys.from({ current: key(2), previous: [key(1), key(2)] });
    expect(keys.ids).toEqual([keys.currentId, old.currentId]);
    expect(keys.derive('draft', old.currentId)).toEqual(old.derive('draft'));
    expect(keys.checkValue(old.currentId)).toBe(old.checkValue());
    expect(keys.derive('draft')).not.toEqual(old.derive('draft'));
  });

  it('name the missing one in the error', () => {
    const keys = MasterKeys.from({ current: key(1) });
    const refusal = refusalOf(() => keys.derive('pepper', '0011223344556677'));
    expect(refusal).toBeInstanceOf(MasterKeyUnknown);
    expect(refusal.message).toContain('0011223344556677');
  });

  it('are read from base64, as `openssl rand -base64 32` writes it', () => {
    const keys = MasterKeys.parse(`${key(1).toString('base64')}\n`, [key(2).toString('base64')]);
    expect(keys.ids).toEqual(MasterKeys.from({ current: key(1), previous: [key(2)] }).ids);
  });

  it.each([
    ['nothing', '', 'MASTER_KEY must have 32 bytes, it has 0'],
    ['too short', Buffer.alloc(31, 7).toString('base64'), 'MASTER_KEY must have 32 bytes, it has 31'],
    ['hex', counting.toString('hex'), 'MASTER_KEY must have 32 bytes, it has 48'],
    ['no base64', `${counting.toString('base64').slice(0, -2)}!=`, "MASTER_KEY must be 32 bytes in base64; it isn't"],
    ['unpadded', counting.toString('base64').slice(0, -1), "MASTER_KEY must be 32 bytes in base64; it isn't"],
  ])('are refused if invalid, and the error does not quote them: %s', (_, text, message) => {
    const refusal = refusalOf(() => MasterKeys.parse(text));
    expect(refusal).toBeInstanceOf(MasterKeyInvalid);
    expect(refusal.message).toContain(message);
    if (text) expect(inspect(refusal)).not.toContain(text.slice(0, 12));
  });

  it('say which previous one is wrong', () => {
    const parse = () => MasterKeys.parse(key(1).toString('base64'), [key(2).toString('base64'), 'c2hvcnQ=']);
    expect(refusalOf(parse).message).toBe('MASTER_KEY_PREVIOUS, key 2 must have 32 bytes, it has 5');
  });

  it('are not shown by anything that prints objects', () => {
    const keys = MasterKeys.from({ current: counting, previous: [key(0xcd)] });
    const pepper = keys.derive('pepper');
    const shown = [inspect(keys, { depth: 9, showHidden: true }), JSON.stringify(keys)].join();
    for (const bytes of [counting, key(0xcd), pepper]) {
      for (const form of [bytes.toString('hex'), bytes.toString('base64'), inspect(bytes).slice(8, 40)]) {
        expect(shown).not.toContain(form);
      }
    }
  });
});
