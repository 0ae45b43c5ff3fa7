import { generateKeyPairSync } from 'node:crypto';
import { decodeJwt, errors, jwtVerify, type JWTVerifyResult } from 'jose';
import type { ClientId, Instant, SigningAlgorithm } from '#domain';
import { canonicalJson } from '#events';
import {
  issueAccessToken,
  MAX_TOKEN_BYTES,
  signCompact,
  signStaticToken,
  staticTokenPeriod,
  type TokenGrant,
  TokenTooLarge,
} from '#tokens';

const ISSUER = 'https://api.marketplace.example';
const CLIENT: ClientId = 'cc_0123456789abcdefghijkl';
const AT: Instant = '2026-06-01T12:00:00.250Z';
const SECOND = Date.parse('2026-06-01T12:00:00Z') / 1000;

const weather = { subscriptionId: 'sub-1', endpointUri: 'weather' };
const plain: TokenGrant = { issuer: ISSUER, clientId: CLIENT, generation: 2 };
const forWeather: TokenGrant = { ...plain, endpoint: weather };

const pairs = { EdDSA: generateKeyPairSync('ed25519'), RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }) };
const signerOf = (alg: SigningAlgorithm) => ({ kid: `key-${alg}`, alg, privateKey: pairs[alg].privateKey });

const verified = (token: string, alg: SigningAlgorithm, audience: string): Promise<JWTVerifyResult> =>
  jwtVerify(token, pairs[alg].publicKey, {
    issuer: ISSUER,
    audience,
    typ: 'at+jwt',
    algorithms: [alg],
    currentDate: new Date(AT),
  });

describe.each(['EdDSA', 'RS256'] as const)('signed with %s', (alg) => {
  const signer = signerOf(alg);

  it('an access token of the plain login has the claims of RFC 9068 and lives for 300 s', async () => {
    const { token, jti, expiresIn } = issueAccessToken(signer, plain, { issuedAt: AT, jti: 'token-1' });
    const { protectedHeader, payload } = await verified(token, alg, `${ISSUER}/gateway`);
    expect({ jti, expiresIn }).toEqual({ jti: 'token-1', expiresIn: 300 });
    expect(protectedHeader).toEqual({ alg, kid: `key-${alg}`, typ: 'at+jwt' });
    expect(payload).toEqual({
      iss: ISSUER,
      sub: CLIENT,
      client_id: CLIENT,
      aud: `${ISSUER}/gateway`,
      iat: SECOND,
      exp: SECOND + 300,
      jti: 'token-1',
      generation: 2,
    });
  });

  it('header and claims of a token are in their canonical form (RFC 8785)', () => {
    const family = { id: 'family-1', startedAt: SECOND };
    for (const grant of [plain, forWeather, { ...forWeather, family, tokenEpoch: 0 }]) {
      const { token } = issueAccessToken(signer, grant, { issuedAt: AT, jti: 'token-1' });
      for (const part of token.split('.', 2)) {
        const text = Buffer.from(part, 'base64url').toString();
        expect(text).toBe(canonicalJson(JSON.parse(text)));
      }
    }
  });

  it('a token of one endpoint names its subscription and is good only for that endpoint', async () => {
    const { token } = issueAccessToken(signer, forWeather, { issuedAt: AT, jti: 'token-2' });
    const { payload } = await verified(token, alg, `${ISSUER}/weather`);
    expect(payload).toMatchObject({ aud: `${ISSUER}/weather`, subscription_id: 'sub-1' });
    await expect(verified(token, alg, `${ISSUER}/gateway`)).rejects.toThrow(errors.JWTClaimValidationFailed);
  });

  it('a static token lives for 31,536,000 s; `expiresIn` is the rest of them', async () => {
    const period = staticTokenPeriod(forWeather, signer, { issuedAt: AT, jti: 'static-1' });
    expect(period).toMatchObject({
      generation: 2,
      subscriptionId: 'sub-1',
      jti: 'static-1',
      kid: signer.kid,
      issuedAt: AT,
      expiresAt: '2027-06-01T12:00:00.000Z',
    });
    const first = signStaticToken(period, signer, AT);
    expect(first).toMatchObject({ jti: 'static-1', expiresIn: 31_536_000 });
    expect(signStaticToken(period, signer, '2027-06-01T11:59:58.000Z')).toEqual({ ...first, expiresIn: 2 });
    const { payload } = await verified(first.token, alg, `${ISSUER}/weather`);
    expect(payload).toEqual(period.claims);
    expect(payload.exp).toBe(Date.parse(period.expiresAt) / 1000);
  });

  it.each([
    ['2026-06-01T12:02:00.900Z', 120],
    ['2026-06-01T12:00:00.900Z', 1],
    ['2036-06-01T12:00:00.000Z', undefined],
  ])(
    'a token expires no later than its credential, and lives for at least a second: %s',
    (credentialExpiresAt, left) => {
      const grant = { ...plain, credentialExpiresAt };
      const { token, expiresIn } = issueAccessToken(signer, grant, { issuedAt: AT, jti: 'token-3' });
      expect([expiresIn, decodeJwt(token).exp]).toEqual([left ?? 300, SECOND + (left ?? 300)]);
      const period = staticTokenPeriod(grant, signer, { issuedAt: AT, jti: 'static-4' });
      expect(period.claims).toMatchObject({ iat: SECOND, exp: SECOND + (left ?? 31_536_000) });
      expect(signStaticToken(period, signer, AT).expiresIn).toBe(left ?? 31_536_000);
    },
  );

  it('a recorded period gives the same bytes, even if a store returns its fields in another order', () => {
    const period = staticTokenPeriod(plain, signer, { issuedAt: AT, jti: 'static-2' });
    const reversed = (fields: Readonly<Record<string, unknown>>) =>
      Object.fromEntries(Object.entries(fields).reverse());
    const stored = { ...period, header: reversed(period.header), claims: reversed(period.claims) };
    expect(Object.keys(stored.claims)).not.toEqual(Object.keys(period.claims));
    expect(signStaticToken(stored, signer, AT)).toEqual(signStaticToken(period, signer, AT));
    expect(period).not.toHaveProperty('subscriptionId');
    const [, claims = ''] = signStaticToken(period, signer, AT).token.split('.');
    expect(Buffer.from(claims, 'base64url').toString()).toBe(
      `{"aud":"${ISSUER}/gateway","client_id":"${CLIENT}","exp":${SECOND + 31_536_000},"generation":2,` +
        `"iat":${SECOND},"iss":"${ISSUER}","jti":"static-2","sub":"${CLIENT}"}`,
    );
  });

  it('a key signs only headers that name it and its algorithm', () => {
    const other = signerOf(alg === 'EdDSA' ? 'RS256' : 'EdDSA');
    const period = staticTokenPeriod(plain, signer, { issuedAt: AT, jti: 'static-3' });
    expect(() => signStaticToken(period, other, AT)).toThrow('header');
    expect(() => signCompact({ alg: other.alg, kid: signer.kid }, {}, signer)).toThrow('header');
  });

  it('the largest possible ids fit in 2 KB; a PUBLIC_URL that is too long is refused', () => {
    const largest: TokenGrant = {
      issuer: `https://${'a'.repeat(60)}.example.com/${'b'.repeat(60)}`,
      clientId: `cc_${'x'.repeat(40)}`,
      generation: Number.MAX_SAFE_INTEGER,
      endpoint: { subscriptionId: 's'.repeat(64), endpointUri: 'e'.repeat(63) },
    };
    const times = { issuedAt: AT, jti: 'j'.repeat(36) };
    const big = { ...signer, kid: 'k'.repeat(43) };
    expect(issueAccessToken(big, largest, times).token.length).toBeLessThan(MAX_TOKEN_BYTES * 0.75);
    const asLongAsMayBe = { ...largest, issuer: 'a'.repeat(256), family: { id: 'f'.repeat(36), startedAt: SECOND } };
    expect(issueAccessToken(big, asLongAsMayBe, times).token.length).toBeLessThanOrEqual(MAX_TOKEN_BYTES);
    const tooLong = { ...largest, issuer: `https://${'a'.repeat(1000)}` };
    expect(() => issueAccessToken(big, tooLong, times)).toThrow(TokenTooLarge);
  });
});
