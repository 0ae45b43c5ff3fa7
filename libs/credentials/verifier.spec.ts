import { inspect } from 'node:util';
import { hashSecret, masterKeyIdOf, MasterKeys, MasterKeyUnknown, mintSecret, verifySecret } from '#credentials';

const counting = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const keys = MasterKeys.from({ current: counting });
const otherKey = Buffer.alloc(32, 9);
const ada = 'cc_0123456789abcdefABCDEF';

/** Another implementation of RFC 9106 (OpenSSL's) made the verifier below from the same secret, salt and pepper. */
const secret = 'ccs_ehv1hsdOHPxDuX3xn9YyIKbgl4yJuySCWzdimD4heup0600TJ6pW';
const verifier =
  '$argon2id$v=19$m=19456,t=2,p=1,keyid=Joa7tu1U2WI$q6urq6urq6urq6urq6urqw$M9xBjZQRSdSuYhvJO/PdYWTHVaNIe8mVnvgZLmoAM0g';

describe('a verifier', () => {
  it('is Argon2id with the parameters of OWASP, peppered, in PHC form with the id of its master key', async () => {
    expect(await hashSecret(secret, keys, (size) => Buffer.alloc(size, 0xab))).toBe(verifier);
    expect(masterKeyIdOf(verifier)).toBe(keys.currentId);
  });

  it('differs each time, and verifies only its own secret', async () => {
    const [mine, again] = await Promise.all([hashSecret(secret, keys), hashSecret(secret, keys)]);
    expect(mine).not.toBe(again);
    expect(mine).not.toContain(secret);
    expect(await verifySecret(secret, mine, keys)).toBe(true);
    expect(await verifySecret(mintSecret(ada, keys), mine, keys)).toBe(false);
  });

  it('is verified with a previous master key; new ones are made with the current one', async () => {
    const rotated = MasterKeys.from({ current: otherKey, previous: [counting] });
    expect(await verifySecret(secret, verifier, rotated)).toBe(true);
    expect(masterKeyIdOf(await hashSecret(secret, rotated))).toBe(rotated.currentId);
  });

  it('is useless without its master key', () => {
    const foreign = MasterKeys.from({ current: otherKey });
    expect(() => verifySecret(secret, verifier, foreign)).toThrow(MasterKeyUnknown);
  });

  it('does not verify under another pepper', async () => {
    const foreign = MasterKeys.from({ current: otherKey });
    const keyid = Buffer.from(foreign.currentId, 'hex').toString('base64').replaceAll('=', '');
    expect(await verifySecret(secret, verifier.replace('Joa7tu1U2WI', keyid), foreign)).toBe(false);
  });

  it.each([
    '',
    secret,
    verifier.replace('argon2id', 'argon2i'),
    verifier.replace(',keyid=Joa7tu1U2WI', ''),
    `${verifier}$`,
    verifier.slice(0, -1),
  ])('is refused in any other form, and the error does not quote it', (text) => {
    expect.assertions(2);
    try {
      masterKeyIdOf(text);
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      expect(inspect(error)).not.toContain(text || 'ccs_');
    }
  });
});
