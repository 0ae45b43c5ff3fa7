import { inspect } from 'node:util';
import { CompactEncrypt, decodeProtectedHeader } from 'jose';
import {
  type CredentialDraft,
  type DraftExpectation,
  DraftExpired,
  DraftInvalid,
  MasterKeys,
  openDraft,
  requireFitting,
  sealDraft,
} from '#credentials';

const counting = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const keys = MasterKeys.from({ current: counting });
const foreign = MasterKeys.from({ current: Buffer.alloc(32, 9) });

const draft: CredentialDraft = {
  draftId: '5f0c6a52-0b6e-4d8f-9a2b-3c1d4e5f6a7b',
  workspaceId: 'w1',
  actor: 'ada',
  purpose: 'CREATE',
  authenticationType: 'API_KEY',
  clientId: 'cc_0123456789abcdefABCDEF',
  generation: 1,
  verifier: '$argon2id$v=19$m=19456,t=2,p=1,keyid=Joa7tu1U2WI$salt$digest',
  expiresAt: '2026-01-01T01:00:00.000Z',
};
const header = { alg: 'dir', enc: 'A256GCM', typ: 'credential-draft+jwe', kid: keys.currentId };

const sealedAs = (protectedHeader: typeof header, key: Buffer) =>
  new CompactEncrypt(Buffer.from(JSON.stringify(draft))).setProtectedHeader(protectedHeader).encrypt(key);

describe('a credential draft', () => {
  it('is opened as it was sealed, and shows nothing but the id of its master key', async () => {
    const jwe = await sealDraft(draft, keys);
    expect(decodeProtectedHeader(jwe)).toEqual(header);
    expect(Buffer.from(jwe, 'base64url').toString('latin1')).not.toContain('argon2');
    expect(await openDraft(jwe, keys)).toEqual(draft);
  });

  it('is a JWE as defined by RFC 7516: one that another implementation sealed can be opened', async () => {
    const jwe =
      'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwidHlwIjoiY3JlZGVudGlhbC1kcmFmdCtqd2UiLCJraWQiOiIyNjg2YmJiNmVkNTRkOTYyIn0.' +
      '.q6urq6urq6urq6ur.MOUUT1v0R7cQtVSm0kdzsak.eYt4asvdyklXfMX-BEOexA';
    expect(await openDraft(jwe, keys)).toEqual({ draftId: 'd-1' });
  });

  it('opens under a previous master key, and under no other', async () => {
    const jwe = await sealDraft(draft, keys);
    const rotated = MasterKeys.from({ current: Buffer.alloc(32, 9), previous: [counting] });
    expect(await openDraft(jwe, rotated)).toEqual(draft);
    await expect(openDraft(jwe, foreign)).rejects.toThrow(DraftInvalid);
  });

  it('is refused when any part of it was changed, and the error reveals nothing of its content', async () => {
    const parts = (await sealDraft(draft, keys)).split('.');
    for (const index of [0, 2, 3, 4]) {
      const bytes = Buffer.from(parts[index] ?? '', 'base64url');
      bytes.writeUInt8(bytes.readUInt8(5) ^ 1, 5);
      const changed = parts.with(index, bytes.toString('base64url')).join('.');
      const refusal: unknown = await openDraft(changed, keys).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(DraftInvalid);
      expect(inspect(refusal)).not.toContain(parts[3]);
    }
  });

  it.each(['', 'garbage', 'a.b.c.d.e', '....', `${'A'.repeat(200_000)}....`])(
    'is refused when it is no draft',
    async (jwe) => {
      await expect(openDraft(jwe, keys)).rejects.toThrow(DraftInvalid);
    },
  );

  it('is distinguished from other JWEs by its type, its algorithms and its key', async () => {
    const key = keys.derive('draft');
    await expect(openDraft(await sealedAs(header, key), keys)).resolves.toEqual(draft);
    await expect(openDraft(await sealedAs({ ...header, typ: 'JWT' }, key), keys)).rejects.toThrow(DraftInvalid);
    await expect(openDraft(await sealedAs({ ...header, enc: 'A128CBC-HS256' }, key), keys)).rejects.toThrow(
      DraftInvalid,
    );
    await expect(openDraft(await sealedAs({ ...header, alg: 'A256KW' }, key), keys)).rejects.toThrow(DraftInvalid);
    await expect(openDraft(await sealedAs({ ...header, kid: 'another' }, key), keys)).rejects.toThrow(DraftInvalid);
    await expect(openDraft(await sealedAs(header, keys.derive('refresh-token')), keys)).rejects.toThrow(DraftInvalid);
  });
});

describe('a draft that is used', () => {
  const rotation: CredentialDraft = { ...draft, purpose: 'ROTATE', generation: 4 };
  const who = { workspaceId: 'w1', actor: 'ada' };
  const create: DraftExpectation = { ...who, purpose: 'CREATE', authenticationType: 'API_KEY' };
  const rotate: DraftExpectation = { ...who, purpose: 'ROTATE', clientId: draft.clientId };
  const inTime = '2026-01-01T00:59:59.999Z';

  it('fits the command that it was made for, until it expires', () => {
    expect(() => {
      requireFitting(draft, create, inTime);
      requireFitting(rotation, rotate, inTime);
    }).not.toThrow();
    expect(() => {
      requireFitting(draft, create, draft.expiresAt);
    }).toThrow(DraftExpired);
  });

  it.each<[string, CredentialDraft, DraftExpectation]>([
    ['workspace', draft, { ...create, workspaceId: 'w2' }],
    ['actor', draft, { ...create, actor: 'bob' }],
    ['purpose', draft, rotate],
    ['purpose', rotation, create],
    ['authentication type', draft, { ...create, authenticationType: 'OAUTH2' }],
    ['client', rotation, { ...rotate, clientId: 'cc_0123456789abcdefABCDEG' }],
  ])('is refused for another %s, also once it has expired', (_, made, expected) => {
    for (const now of [inTime, '2026-01-02T00:00:00.000Z']) {
      expect(() => {
        requireFitting(made, expected, now);
      }).toThrow(DraftInvalid);
    }
  });
});
