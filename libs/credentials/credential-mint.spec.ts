import { CredentialMint, hasGoodCheck, MasterKeys, MintingBusy, verifySecret } from '#credentials';

const keys = MasterKeys.from({ current: Buffer.alloc(32, 1) });
const ada = 'cc_0123456789abcdefABCDEF';

describe('minting', () => {
  it('gives a secret of the client, and the verifier to store', async () => {
    const { secret, verifier } = await new CredentialMint({ keys }).mint(ada);
    expect(hasGoodCheck(ada, secret, keys)).toBe(true);
    expect(await verifySecret(secret, verifier, keys)).toBe(true);
  });

  it('takes all its randomness, including the salt, from a parameter', async () => {
    const mint = new CredentialMint({ keys, random: (size) => Buffer.alloc(size, 7) });
    expect(await mint.mint(ada)).toEqual(await mint.mint(ada));
  });

  it('is refused as busy while too many wait, and works again when they are done', async () => {
    const mint = new CredentialMint({ keys, concurrency: 1, maxWaiting: 2 });
    const minted = await Promise.allSettled(Array.from({ length: 5 }, () => mint.mint(ada)));
    expect(minted.map(({ status }) => status)).toEqual([
      ...['fulfilled', 'fulfilled', 'fulfilled'],
      ...['rejected', 'rejected'],
    ]);
    expect(minted[4]).toMatchObject({ reason: expect.any(MintingBusy) as unknown });
    await expect(mint.mint(ada)).resolves.toBeDefined();
  });
});
