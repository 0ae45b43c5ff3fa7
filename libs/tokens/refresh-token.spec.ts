import { randomBytes } from 'node:crypto';
import { CompactEncrypt } from 'jose';
import { MasterKeys, sealDraft } from '#credentials';
import {
  type ActiveClient,
  type ClientId,
  consumerClient,
  type ConsumerClientEvent,
  type Instant,
  secondsAfter,
} from '#domain';
import { FAMILY_SECONDS, instantOf, isRefreshable, REFRESH_TOKEN_SECONDS, RefreshTokens } from '#tokens';
import { fold } from '../../test/support/events/given.js';

const START: Instant = '2026-06-01T12:00:00.000Z';
const SECOND = Date.parse(START) / 1000;
const CLIENT: ClientId = 'cc_0123456789abcdefghijkl';
const after = (seconds: number) => secondsAfter(START, seconds);

const former = randomBytes(32);
const keys = MasterKeys.from({ current: former });
const rotatedKeys = MasterKeys.from({ current: randomBytes(32), previous: [former] });

const endpoint = { subscriptionId: 'sub-1', endpointUri: 'weather' };
const family = { id: 'f-1', startedAt: SECOND };
const grant = { issuer: 'https://api.marketplace.example', clientId: CLIENT, generation: 1, family };
const tokens = new RefreshTokens(keys);
const opened = (token: string, by = tokens) => {
  const refreshToken = by.open(token);
  if (!refreshToken) throw new Error('It does not open');
  return refreshToken;
};

describe('a refresh token', () => {
  it('holds its bindings for 1800 s, and reveals none of them to its holder', () => {
    const token = tokens.issue({ ...grant, endpoint }, after(7)).token;
    expect(opened(token)).toEqual({
      ...{ clientId: CLIENT, generation: 1, subscriptionId: 'sub-1', family },
      ...{ issuedAt: SECOND + 7, expiresAt: SECOND + 7 + REFRESH_TOKEN_SECONDS },
    });
    expect(REFRESH_TOKEN_SECONDS).toBe(1800);
    const readable = token.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'));
    expect(readable.join()).not.toMatch(new RegExp(`${CLIENT}|sub-1|generation`));
    expect(token.length).toBeLessThan(1024);
    expect(opened(tokens.issue(grant, START).token)).not.toHaveProperty('subscriptionId');
  });

  it('differs each time, and never reuses a nonce of its key', () => {
    const issued = Array.from({ length: 2000 }, () => tokens.issue(grant, START).token);
    expect(new Set(issued.map((token) => token.split('.')[2])).size).toBe(issued.length);
  });

  it('can be opened by every process, though each process encrypts under its own key', () => {
    const [here, there] = [tokens.issue(grant, START).token, new RefreshTokens(keys).issue(grant, START).token];
    expect(opened(there)).toEqual(opened(here));
    const headers = [here, there].map((token) => token.split('.')[0]);
    expect(headers[0]).not.toBe(headers[1]);
    expect(tokens.issue(grant, START).token.split('.')[0]).toBe(headers[0]);
  });

  it('is never good past 24 h from its family’s start', () => {
    const late = opened(tokens.issue(grant, after(FAMILY_SECONDS - 60)).token);
    expect(late.expiresAt).toBe(SECOND + 86_400);
  });

  it('expires no later than its credential', () => {
    const { token, expiresIn } = tokens.issue({ ...grant, credentialExpiresAt: after(90) }, START);
    expect([expiresIn, opened(token).expiresAt]).toEqual([90, SECOND + 90]);
    expect(opened(token)).not.toHaveProperty('credentialExpiresAt');
    expect(tokens.issue({ ...grant, credentialExpiresAt: after(9000) }, START).expiresIn).toBe(1800);
  });

  it('can be opened with a previous master key, and with no other', () => {
    const token = tokens.issue(grant, START).token;
    expect(opened(token, new RefreshTokens(rotatedKeys)).family).toEqual(family);
    expect(new RefreshTokens(MasterKeys.from({ current: randomBytes(32) })).open(token)).toBeUndefined();
    expect(tokens.open(new RefreshTokens(rotatedKeys).issue(grant, START).token)).toBeUndefined();
  });

  it('is a JWE of exactly one kind: no other JWE can be opened, whoever encrypted it', async () => {
    const token = tokens.issue(grant, START).token;
    const [header = '', , nonce = '', ciphertext = '', tag = ''] = token.split('.');
    const changedHeader = (change: object) => {
      const members = JSON.parse(Buffer.from(header, 'base64url').toString()) as object;
      return Buffer.from(JSON.stringify({ ...members, ...change })).toString('base64url');
    };
    const flipped = (part: string) => {
      const bytes = Buffer.from(part, 'base64url');
      bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
      return bytes.toString('base64url');
    };
    const parts = (...changed: string[]) => changed.join('.');
    const draft = await sealDraft({ draftId: 'd' } as Parameters<typeof sealDraft>[0], keys);
    const bySameKey = await new CompactEncrypt(Buffer.from('{}'))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: 'refresh-token+jwe', kid: keys.currentId })
      .encrypt(keys.derive('refresh-token'));
    const refused: Record<string, string> = {
      nothing: '',
      'five empty parts': '....',
      'a draft': draft,
      'a JWE of no batch': bySameKey,
      'a changed ciphertext': parts(header, '', nonce, flipped(ciphertext), tag),
      'a changed tag': parts(header, '', nonce, ciphertext, flipped(tag)),
      'a shortened tag': parts(header, '', nonce, ciphertext, tag.slice(0, 16)),
      'a changed nonce': parts(header, '', flipped(nonce), ciphertext, tag),
      'a shortened nonce': parts(header, '', nonce.slice(0, 8), ciphertext, tag),
      'an encrypted key': parts(header, 'AAAA', nonce, ciphertext, tag),
      'another batch': parts(changedHeader({ batch: 'AAAAAAAAAAAAAAAAAAAAAA' }), '', nonce, ciphertext, tag),
      'another type': parts(changedHeader({ typ: 'JWT' }), '', nonce, ciphertext, tag),
      'another algorithm': parts(changedHeader({ alg: 'A256KW' }), '', nonce, ciphertext, tag),
      'another encryption': parts(changedHeader({ enc: 'A128GCM' }), '', nonce, ciphertext, tag),
      'an unknown master key': parts(changedHeader({ kid: '00' }), '', nonce, ciphertext, tag),
      'a name of Object’s': parts(changedHeader({ kid: 'constructor' }), '', nonce, ciphertext, tag),
      'over 2 KB': `${token}${'A'.repeat(2048)}`,
    };
    for (const [what, text] of Object.entries(refused)) {
      expect({ what, opened: tokens.open(text) }).toEqual({ what, opened: undefined });
    }
  });

  it('is a JWE that jose can read with the key of its batch', async () => {
    const { compactDecrypt, decodeProtectedHeader } = await import('jose');
    const { createHmac } = await import('node:crypto');
    const token = tokens.issue(grant, START).token;
    const { batch } = decodeProtectedHeader(token) as { batch: string };
    const key = createHmac('sha256', keys.derive('refresh-token')).update(batch).digest();
    const { plaintext, protectedHeader } = await compactDecrypt(token, key);
    expect(JSON.parse(Buffer.from(plaintext).toString())).toMatchObject({ clientId: CLIENT, family });
    expect(protectedHeader).toMatchObject({ alg: 'dir', enc: 'A256GCM', kid: keys.currentId });
  });
});

describe('refreshing', () => {
  const created: ConsumerClientEvent = {
    type: 'ConsumerClientCreated',
    data: {
      ...{ clientId: CLIENT, workspaceId: 'acme', name: 'Importer', authenticationType: 'OAUTH2' },
      ...{ verifier: 'v1', createdAt: START },
    },
  };
  const rotated: ConsumerClientEvent = {
    type: 'ConsumerClientSecretRotated',
    data: { generation: 2, verifier: 'v2', rotatedAt: after(10), previousExpiresAt: after(70) },
  };
  const familyRevoked: ConsumerClientEvent = {
    type: 'ConsumerClientTokenRevoked',
    data: {
      ...{ kind: 'REFRESH_FAMILY', tokenId: 'f-1', issuedAt: instantOf(SECOND) },
      ...{ revokedAt: after(10), expiresAt: after(86_400) },
    },
  };
  const clientAfter = (...events: ConsumerClientEvent[]) => fold(consumerClient, [created, ...events]) as ActiveClient;
  const token = opened(tokens.issue(grant, START).token);
  const weather = opened(tokens.issue({ ...grant, endpoint }, START).token);

  it('is allowed until the token expires, and up to 5 s before its issue by a faster clock', () => {
    expect(isRefreshable(token, clientAfter(), undefined, after(1799.999))).toBe(true);
    expect(isRefreshable(token, clientAfter(), undefined, after(1800))).toBe(false);
    expect(isRefreshable(token, clientAfter(), undefined, after(-5))).toBe(true);
    expect(isRefreshable(token, clientAfter(), undefined, after(-5.001))).toBe(false);
  });

  it('is allowed only at the login that issued the token', () => {
    expect(isRefreshable(weather, clientAfter(), 'sub-1', START)).toBe(true);
    expect(isRefreshable(weather, clientAfter(), undefined, START)).toBe(false);
    expect(isRefreshable(weather, clientAfter(), 'sub-2', START)).toBe(false);
    expect(isRefreshable(token, clientAfter(), 'sub-1', START)).toBe(false);
  });

  it('is allowed only for its own client, until the generation or the family ends', () => {
    expect(isRefreshable({ ...token, clientId: 'cc_zzzzzzzzzzzzzzzzzzzzzz' }, clientAfter(), undefined, START)).toBe(
      false,
    );
    expect(isRefreshable(token, clientAfter(rotated), undefined, after(69.999))).toBe(true);
    expect(isRefreshable(token, clientAfter(rotated), undefined, after(70))).toBe(false);
    expect(isRefreshable(token, clientAfter(familyRevoked), undefined, after(20))).toBe(false);
  });
});
