import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { KeyUnwrapFailed, MasterKeys, MasterKeyUnknown, unwrapKey, wrapKey } from '#credentials';

const counting = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const keys = MasterKeys.from({ current: counting });
const privateKey = Buffer.from('a private key');

const refusalOf = (unwrap: () => unknown): unknown => {
  try {
    return unwrap();
  } catch (error) {
    return error;
  }
};

describe('a wrapped key', () => {
  it('is AES-256-GCM, bound to its kid: a key that another implementation wrapped can be unwrapped', () => {
    const wrapped = {
      masterKeyId: keys.currentId,
      wrappedKey: 'q6urq6urq6urq6urIyZgSKSOafxYqa_NfhU78QDlSNQnvAMI-IBhX8A',
    };
    expect(wrapKey(privateKey, 'kid-1', keys, (size) => Buffer.alloc(size, 0xab))).toEqual(wrapped);
    expect(unwrapKey(wrapped, 'kid-1', keys)).toEqual(privateKey);
  });

  it('is unwrapped as it was wrapped', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.string({ minLength: 1 }), (bytes, kid) => {
        const key = Buffer.from(bytes);
        expect(unwrapKey(wrapKey(key, kid, keys), kid, keys)).toEqual(key);
      }),
    );
  });

  it('never looks the same twice', () => {
    expect(wrapKey(privateKey, 'kid-1', keys)).not.toEqual(wrapKey(privateKey, 'kid-1', keys));
  });

  it('is unwrapped with a previous master key, and wrapped again with the current one', () => {
    const rotated = MasterKeys.from({ current: Buffer.alloc(32, 9), previous: [counting] });
    const again = wrapKey(unwrapKey(wrapKey(privateKey, 'kid-1', keys), 'kid-1', rotated), 'kid-1', rotated);
    expect(again.masterKeyId).toBe(rotated.currentId);
    expect(unwrapKey(again, 'kid-1', rotated)).toEqual(privateKey);
    expect(() => unwrapKey(again, 'kid-1', keys)).toThrow(MasterKeyUnknown);
  });

  it('is refused under another kid, or when a byte was changed or lost, and the error does not quote it', () => {
    const wrapped = wrapKey(privateKey, 'kid-1', keys);
    expect(() => unwrapKey(wrapped, 'kid-2', keys)).toThrow(KeyUnwrapFailed);
    const bytes = Buffer.from(wrapped.wrappedKey, 'base64url');
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
      for (const wrong of [changed, bytes.subarray(0, index)]) {
        const wrappedKey = wrong.toString('base64url');
        const refusal = refusalOf(() => unwrapKey({ ...wrapped, wrappedKey }, 'kid-1', keys));
        expect(refusal).toBeInstanceOf(KeyUnwrapFailed);
        expect(inspect(refusal)).not.toContain(wrapped.wrappedKey.slice(40));
      }
    }
  });

  it('is refused when its tag was cut short', () => {
    const bytes = Buffer.from(wrapKey(Buffer.alloc(0), 'kid-1', keys).wrappedKey, 'base64url');
    const cut = { masterKeyId: keys.currentId, wrappedKey: bytes.subarray(0, -4).toString('base64url') };
    expect(() => unwrapKey(cut, 'kid-1', keys)).toThrow(KeyUnwrapFailed);
  });
});
