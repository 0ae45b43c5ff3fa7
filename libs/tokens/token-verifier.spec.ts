import { createHmac, createPublicKey, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MasterKeys } from '#credentials';
import { type ClientId, type SigningAlgorithm, signingKey, type SigningKeysState } from '#domain';
import { type BookOfRecord, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import {
  BootstrapIssuer,
  issueAccessToken,
  MAX_TOKEN_BYTES,
  signCompact,
  SigningKeyRing,
  type TokenSigner,
  TokenVerifier,
} from '#tokens';

const ISSUER = 'https://api.marketplace.example';
const CLIENT: ClientId = 'cc_0123456789abcdefghijkl';
const NOW = new Date('2026-06-01T12:00:00.000Z');
const IAT = NOW.getTime() / 1000;
const CLAIMS = {
  ...{ iss: ISSUER, sub: CLIENT, client_id: CLIENT, aud: `${ISSUER}/gateway` },
  ...{ iat: IAT, exp: IAT + 300, jti: 'token-1', generation: 1 },
};

const newPrivateKey = (alg: SigningAlgorithm) =>
  alg === 'EdDSA'
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe.each(['EdDSA', 'RS256'] as const)('tokens signed with %s', (alg) => {
  const masterKeys = MasterKeys.from({ current: randomBytes(32) });
  let directory: string;
  let book: BookOfRecord;
  let ring: SigningKeyRing;
  let keys: SigningKeysState;
  let signer: TokenSigner;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'token-verifier-'));
    book = await openBookOfRecord(await openSqliteEventLog({ file: join(directory, 'events.db') }), () => NOW);
    ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg, now: () => NOW });
    await ring.start();
    keys = await ring.state();
    signer = ring.signer(keys);
  });
  afterAll(async () => {
    await book.log.close();
    await rm(directory, { recursive: true });
  });

  const grant = { issuer: ISSUER, clientId: CLIENT, generation: 1, family: { id: 'family-1', startedAt: IAT } };
  const newToken = () => issueAccessToken(signer, grant, { issuedAt: NOW.toISOString(), jti: randomUUID() }).token;
  const signedWith = (header: object, claims: object = CLAIMS, by = signer) =>
    signCompact({ alg, kid: signer.kid, typ: 'at+jwt', ...header }, { ...claims }, by);

  it('are verified, and recognized later without any key', () => {
    const verifier = new TokenVerifier(ring);
    const token = newToken();
    expect(verifier.recall(token)).toBeUndefined();
    const verified = verifier.verify(token, keys);
    expect(verified).toMatchObject({ kid: signer.kid, claims: { sub: CLIENT, family_id: 'family-1' } });
    expect(verifier.recall(token)).toBe(verified);
    expect(verifier.verify(token, { masterKeyChecks: [], logKeys: [], keys: [] })).toBe(verified);
  });

  it('are remembered up to a limit, the latest ones', () => {
    const verifier = new TokenVerifier(ring, { remembered: 2 });
    const tokens = [newToken(), newToken(), newToken()];
    for (const token of tokens) verifier.verify(token, keys);
    expect(tokens.map((token) => verifier.recall(token) !== undefined)).toEqual([false, true, true]);
  });

  it('are refused once their key is compromised, and while it is unknown', () => {
    const compromised = { ...keys, keys: keys.keys.map((key) => ({ ...key, status: 'COMPROMISED' as const })) };
    expect(new TokenVerifier(ring).verify(newToken(), compromised)).toBeUndefined();
    expect(new TokenVerifier(ring).verify(newToken(), { ...keys, keys: [] })).toBeUndefined();
  });

  it('are the only accepted ones: everything else is refused, and not remembered', () => {
    const good = newToken();
    const { kid } = signer;
    const [header = '', claims = '', signature = ''] = good.split('.');
    const input = `${header}.${claims}`;
    const bytes = Buffer.from(signature, 'base64url');
    const publicKey = createPublicKey({ key: signingKey(keys)?.publicJwk ?? {}, format: 'jwk' });
    const pem = publicKey.export({ format: 'pem', type: 'spki' });
    const hmac = (key: string | Buffer) => {
      const forged = `${encoded({ alg: 'HS256', kid, typ: 'at+jwt' })}.${claims}`;
      return `${forged}.${createHmac('sha256', key).update(forged).digest('base64url')}`;
    };
    const otherAlg = alg === 'EdDSA' ? 'RS256' : 'EdDSA';
    const other = newPrivateKey(otherAlg);
    const signedInput = (text: string, key = signer.privateKey) =>
      `${text}.${sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(text), key).toString('base64url')}`;
    const flipped = (at: number) =>
      Buffer.from(bytes)
        .fill((bytes[at] ?? 0) ^ 1, at, at + 1)
        .toString('base64url');
    const sameBytes = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('').find((last) => {
      const text = `${signature.slice(0, -1)}${last}`;
      return text !== signature && Buffer.from(text, 'base64url').equals(bytes);
    });
    const without = (name: keyof typeof CLAIMS) =>
      Object.fromEntries(Object.entries(CLAIMS).filter(([claim]) => claim !== name));
    const refused: Record<string, string> = {
      'alg none': `${encoded({ alg: 'none', kid, typ: 'at+jwt' })}.${claims}.`,
      'alg none with a signature': `${encoded({ alg: 'none', kid, typ: 'at+jwt' })}.${claims}.${signature}`,
      'HMAC with the public key, as PEM': hmac(pem),
      'HMAC with the public key, as DER': hmac(publicKey.export({ format: 'der', type: 'spki' })),
      'HMAC with the public key, as JWK': hmac(JSON.stringify(signingKey(keys)?.publicJwk)),
      'an unknown kid': signCompact({ alg, kid: 'k-1', typ: 'at+jwt' }, CLAIMS, { ...signer, kid: 'k-1' }),
      'no kid': `${encoded({ alg, typ: 'at+jwt' })}.${claims}.${signature}`,
      'another key under this kid': signedInput(input, newPrivateKey(alg)),
      'a header that lies about the algorithm': signedInput(
        `${encoded({ alg: otherAlg, kid, typ: 'at+jwt' })}.${claims}`,
      ),
      'another algorithm than the key’s': signedWith({ alg: otherAlg }, CLAIMS, {
        kid,
        alg: otherAlg,
        privateKey: other,
      }),
      'a stripped signature': `${input}.`,
      'no signature part': input,
      'a changed signature': `${input}.${flipped(3)}`,
      'a signature in another form of the same bytes': `${input}.${signature.slice(0, -1)}${sameBytes ?? '='}`,
      'a padded signature': `${good}=`,
      'changed claims': `${header}.${encoded({ ...CLAIMS, generation: 2 })}.${signature}`,
      'a changed header': `${encoded({ alg, kid, typ: 'at+jwt', x: 1 })}.${claims}.${signature}`,
      'another type of JWT': signedWith({ typ: 'JWT' }),
      'no type': signedWith({ typ: undefined }),
      'a critical extension': signedWith({ crit: ['exp'] }),
      'a key of its own': signedWith({ jwk: { ...publicKey.export({ format: 'jwk' }) } }),
      'a management token': new BootstrapIssuer(masterKeys).issueManagementToken(
        { subject: 's', scopes: [], ttlSeconds: 60 },
        NOW,
      ),
      'more than 2 KB': `${good}${'A'.repeat(MAX_TOKEN_BYTES)}`,
      'white space': ` ${good}`,
      'a line break': `${good}\n`,
      'two tokens': `${good},${good}`,
      'no JSON': `${Buffer.from('no').toString('base64url')}.${claims}.${signature}`,
      'an array for a header': `${encoded([alg])}.${claims}.${signature}`,
      nothing: '',
      dots: '..',
      'no expiry': signedWith({}, without('exp')),
      'an expiry in words': signedWith({}, { ...CLAIMS, exp: 'tomorrow' }),
      'no issuer': signedWith({}, without('iss')),
      'several audiences': signedWith({}, { ...CLAIMS, aud: [CLAIMS.aud] }),
      'another subject than client': signedWith({}, { ...CLAIMS, sub: `${CLIENT}x` }),
      'no client': signedWith({}, { ...CLAIMS, sub: 'admin', client_id: 'admin' }),
      'half a family': signedWith({}, { ...CLAIMS, family_id: 'family-1' }),
    };
    const verifier = new TokenVerifier(ring);
    for (const [what, token] of Object.entries(refused)) {
      expect({ what, verified: verifier.verify(token, keys) }).toEqual({ what, verified: undefined });
      expect({ what, recalled: verifier.recall(token) }).toEqual({ what, recalled: undefined });
    }
    expect(verifier.verify(signedWith({}), keys)).toBeDefined();
    expect(verifier.verify(good, keys)).toBeDefined();
  });
});
