import { createHmac, createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { exportJWK, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { MasterKeys } from '#credentials';
import {
  AdminTokenFile,
  BootstrapIssuer,
  InvalidManagementToken,
  issueAccessToken,
  MANAGEMENT_SCOPES,
  type ManagementIdentityProvider,
  ManagementIssuerUnavailable,
  ManagementTokenVerifier,
  signCompact,
} from '#tokens';

const START = Date.parse('2026-06-01T12:00:00.000Z');
const SECOND = Math.floor(START / 1000);

/** Returns a verifier, and the clock by which the test sets the verifier's time. */
const verifierOf = (provider: ManagementIdentityProvider) => {
  const clock = { ms: START };
  return { clock, verifier: new ManagementTokenVerifier(provider, { now: () => new Date(clock.ms) }) };
};

const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

const parsed = (token: string) => {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const json = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as JWTPayload;
  return { header, payload, signature, claims: json(payload) };
};

const expectRefused = async (verifier: ManagementTokenVerifier, token: string) => {
  const error: unknown = await verifier.verify(token).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InvalidManagementToken);
  expect(error).toEqual(new InvalidManagementToken());
  if (token.length > 20) expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(token);
};

describe('with the built-in issuer', () => {
  const masterKeys = MasterKeys.from({ current: randomBytes(32) });
  const issuer = new BootstrapIssuer(masterKeys);
  const request = { subject: 'portal', scopes: ['clients:write', 'clients:read'], ttlSeconds: 40 } as const;
  const ended = new Set<string>();
  const endedTokens = { has: (tokenId: string) => Promise.resolve(ended.has(tokenId)) };
  let directory: string;
  let adminToken: AdminTokenFile;
  const verifierAt = (ms: number) =>
    new ManagementTokenVerifier({ bootstrap: issuer, adminToken, endedTokens }, { now: () => new Date(ms) });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'management-'));
    adminToken = new AdminTokenFile(join(directory, 'admin.token'));
    await adminToken.ensure();
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("the administrator's token allows everything, until it is rotated", async () => {
    const { verifier } = verifierOf({ bootstrap: issuer, adminToken, endedTokens });
    const token = (await readFile(adminToken.path, 'utf8')).trim();
    expect(await verifier.verify(token)).toEqual({
      subject: 'administrator',
      scopes: new Set(MANAGEMENT_SCOPES),
      anyWorkspace: true,
    });
    await new AdminTokenFile(adminToken.path).rotate();
    await expectRefused(verifier, token);
  });

  it('a token carries its subject, scopes and workspace', async () => {
    const { verifier } = verifierOf({ bootstrap: issuer, adminToken, endedTokens });
    const token = issuer.issueManagementToken({ ...request, workspaceId: 'acme' }, new Date(START));
    expect(await verifier.verify(token)).toEqual({
      subject: 'portal',
      scopes: new Set(['clients:write', 'clients:read']),
      workspaceId: 'acme',
      anyWorkspace: false,
    });
    const operator = { subject: 'operator', scopes: ['workspaces:any'], ttlSeconds: 60 } as const;
    const principal = await verifier.verify(issuer.issueManagementToken(operator, new Date(START)));
    expect(principal).toEqual({ subject: 'operator', scopes: new Set(['workspaces:any']), anyWorkspace: true });
  });

  it('a token that an operator has ended is refused, even if it is remembered; others stay good', async () => {
    const { verifier } = verifierOf({ bootstrap: issuer, adminToken, endedTokens });
    const [leaked, other] = ['leaked', 'other'].map((tokenId) =>
      issuer.issueManagementToken({ ...request, tokenId }, new Date(START)),
    ) as [string, string];
    for (const token of [leaked, other]) await verifier.verify(token);
    ended.add('leaked');
    await expectRefused(verifier, leaked);
    await expectRefused(verifierAt(START), leaked);
    await expect(verifier.verify(other)).resolves.toMatchObject({ subject: 'portal' });
  });

  it('a token is good until the last moment before its end, even if it is remembered', async () => {
    const { clock, verifier } = verifierOf({ bootstrap: issuer, adminToken, endedTokens });
    const token = issuer.issueManagementToken(request, new Date(START));
    await verifier.verify(token);
    clock.ms = START + 39_999;
    await verifier.verify(token);
    clock.ms = START + 40_000;
    await expectRefused(verifier, token);
    await expectRefused(verifierAt(clock.ms), token);
    await expect(verifierAt(clock.ms - 1).verify(token)).resolves.toMatchObject({ subject: 'portal' });
  });

  it('tokens of a previous master key stay good, those of a foreign one are refused', async () => {
    const [former, next] = [randomBytes(32), randomBytes(32)];
    const token = new BootstrapIssuer(MasterKeys.from({ current: former })).issueManagementToken(
      request,
      new Date(START),
    );
    const rotated = new BootstrapIssuer(MasterKeys.from({ current: next, previous: [former] }));
    await verifierOf({ bootstrap: rotated, adminToken, endedTokens }).verifier.verify(token);
    await expectRefused(verifierOf({ bootstrap: issuer, adminToken, endedTokens }).verifier, token);
  });

  it('the same master key gives the same tokens, on every node and after every restart', () => {
    const elsewhere = new BootstrapIssuer(masterKeys).issueManagementToken(request, new Date(START));
    expect(elsewhere).toBe(issuer.issueManagementToken(request, new Date(START)));
  });

  it('refuses every token that is not exactly one of its own', async () => {
    const { verifier } = verifierOf({ bootstrap: issuer, adminToken, endedTokens });
    const token = issuer.issueManagementToken(request, new Date(START));
    const { header, payload, signature, claims } = parsed(token);
    const { privateKey } = generateKeyPairSync('ed25519');
    const { currentId: kid } = masterKeys;
    const signer = { kid, alg: 'EdDSA', privateKey } as const;
    const seed = Buffer.from('302e020100300506032b657004220420', 'hex');
    const der = Buffer.concat([seed, masterKeys.derive('bootstrap-issuer')]);
    const own = { ...signer, privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) };
    expect(signCompact({ alg: 'EdDSA', kid, typ: 'management+jwt' }, claims, own)).toBe(token);
    const grant = { issuer: 'https://api.example', clientId: 'cc_0123456789abcdef', generation: 1 } as const;
    const bad = [
      '',
      '.',
      '..',
      'a.b.c',
      'x'.repeat(9000),
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${header}.${base64url({ ...claims, scope: MANAGEMENT_SCOPES.join(' ') })}.${signature}`,
      `${base64url({ alg: 'none', typ: 'management+jwt', kid })}.${payload}.`,
      signCompact({ alg: 'EdDSA', kid, typ: 'at+jwt' }, claims, own),
      signCompact({ alg: 'EdDSA', kid, typ: 'management+jwt' }, claims, signer),
      issueAccessToken(own, grant, { issuedAt: new Date(START).toISOString(), jti: 'j' }).token,
      issueAccessToken(signer, grant, { issuedAt: new Date(START).toISOString(), jti: 'j' }).token,
    ];
    for (const one of bad) await expectRefused(verifier, one);
    await verifier.verify(token);
  });

  it.each([
    [{ subject: '' }, 'subject'],
    [{ subject: 's'.repeat(256) }, 'subject'],
    [{ workspaceId: 'a b' }, 'workspace'],
    [{ ttlSeconds: 0 }, 'lifetime'],
    [{ ttlSeconds: 1.5 }, 'lifetime'],
    [{ ttlSeconds: 31 * 86_400 }, 'lifetime'],
  ])('makes no token of %p', (wrong, named) => {
    expect(() => issuer.issueManagementToken({ ...request, ...wrong }, new Date(START))).toThrow(named);
  });
});

describe("with the marketplace's own issuer", () => {
  const ISSUER = 'https://id.marketplace.example';
  const AUDIENCE = 'consumer-clients';
  const keys = {
    EdDSA: generateKeyPairSync('ed25519'),
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    PS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  };
  type Algorithm = keyof typeof keys;
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'alice',
    scope: 'openid clients:read audit:read',
    workspace_id: 'acme',
    iat: SECOND,
    exp: SECOND + 300,
  };
  const signed = (payload: JWTPayload, alg: Algorithm = 'EdDSA', header: Partial<JWTHeaderParameters> = {}) =>
    new SignJWT(payload).setProtectedHeader({ alg, kid: alg, ...header }).sign(keys[alg].privateKey);
  const without = (claim: keyof typeof claims) => ({ ...claims, [claim]: undefined });

  let answer: { status: number; body: string };
  const issuerServer = createServer((_request, response) => {
    response.writeHead(answer.status, { 'content-type': 'application/jwk-set+json' }).end(answer.body);
  });
  let jwks: { status: number; body: string };
  let provider: ManagementIdentityProvider;

  beforeAll(async () => {
    issuerServer.listen(0, '127.0.0.1');
    await once(issuerServer, 'listening');
    const { port } = issuerServer.address() as AddressInfo;
    provider = { issuer: ISSUER, audience: AUDIENCE, jwksUrl: new URL(`http://127.0.0.1:${port}/jwks`) };
    const published = Object.entries(keys).map(async ([alg, { publicKey }]) => ({
      ...(await exportJWK(publicKey)),
      ...{ kid: alg, alg, use: 'sig' },
    }));
    jwks = { status: 200, body: JSON.stringify({ keys: await Promise.all(published) }) };
  });
  beforeEach(() => {
    answer = jwks;
  });
  afterAll(() => {
    issuerServer.closeAllConnections();
    issuerServer.close();
  });

  it.each(['EdDSA', 'RS256', 'PS256', 'ES256'] as const)('its %s tokens are good', async (alg) => {
    const principal = await verifierOf(provider).verifier.verify(await signed(claims, alg));
    expect(principal).toEqual({
      subject: 'alice',
      scopes: new Set(['clients:read', 'audit:read']),
      workspaceId: 'acme',
      anyWorkspace: false,
    });
  });

  it('a token for several audiences, without workspace and scope, allows nothing', async () => {
    const token = await signed({ ...claims, aud: ['other', AUDIENCE], scope: undefined, workspace_id: undefined });
    const principal = await verifierOf(provider).verifier.verify(token);
    expect(principal).toEqual({ subject: 'alice', scopes: new Set(), anyWorkspace: false });
  });

  it('clocks may differ by 5 s at the start of a token, and not at all at its end', async () => {
    const { clock, verifier } = verifierOf(provider);
    await verifier.verify(await signed({ ...claims, iat: SECOND + 5, nbf: SECOND + 5 }));
    await expectRefused(verifier, await signed({ ...claims, iat: SECOND + 6 }));
    await expectRefused(verifier, await signed({ ...claims, nbf: SECOND + 6 }));
    await expectRefused(verifier, await signed({ ...claims, exp: SECOND }));
    clock.ms = START - 1;
    await verifier.verify(await signed({ ...claims, exp: SECOND }));
  });

  it.each<[string, JWTPayload]>([
    ['of another issuer', { ...claims, iss: 'https://id.other.example' }],
    ['of no issuer', without('iss')],
    ['for another audience', { ...claims, aud: 'other' }],
    ['for no audience', without('aud')],
    ['without an end', without('exp')],
    ['of nobody', without('sub')],
    ['of a subject past 255 characters', { ...claims, sub: 's'.repeat(256) }],
    ['of a subject that is a number', { ...claims, sub: 7 as unknown as string }],
    ['of a subject that is half a character', { ...claims, sub: 'alice \ud83d' }],
    ['whose scope is a list', { ...claims, scope: ['clients:write'] }],
    ['of a workspace that none can be', { ...claims, workspace_id: '../acme' }],
  ])('refuses a token %s', async (_what, payload) => {
    await expectRefused(verifierOf(provider).verifier, await signed(payload));
  });

  it('refuses forgeries', async () => {
    const { verifier } = verifierOf(provider);
    const token = await signed(claims, 'RS256');
    const { header, payload, signature } = parsed(token);
    const stranger = generateKeyPairSync('ed25519');
    const hmacInput = `${base64url({ alg: 'HS256', kid: 'RS256' })}.${payload}`;
    const pem = keys.RS256.publicKey.export({ type: 'spki', format: 'pem' });
    const forgeries = [
      `${base64url({ alg: 'none', kid: 'RS256' })}.${payload}.`,
      `${hmacInput}.${createHmac('sha256', pem).update(hmacInput).digest('base64url')}`,
      `${header}.${base64url({ ...claims, scope: 'workspaces:any' })}.${signature}`,
      `${header}.${payload}.`,
      `${header}.${payload}.${parsed(await signed({ ...claims, sub: 'bob' }, 'RS256')).signature}`,
      await signed(claims, 'ES384'),
      await signed(claims, 'EdDSA', { kid: 'unknown' }),
      await new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA', kid: 'EdDSA', jwk: await exportJWK(stranger.publicKey) })
        .sign(stranger.privateKey),
    ];
    for (const forgery of forgeries) await expectRefused(verifier, forgery);
    await verifier.verify(token);
  });

  it('tokens of the administrator and of the built-in issuer are refused', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'management-'));
    try {
      const adminToken = new AdminTokenFile(join(directory, 'admin.token'));
      await adminToken.ensure();
      const bootstrap = new BootstrapIssuer(MasterKeys.from({ current: randomBytes(32) }));
      const request = { subject: 'dev', scopes: MANAGEMENT_SCOPES, ttlSeconds: 60 };
      const { verifier } = verifierOf(provider);
      await expectRefused(verifier, (await readFile(adminToken.path, 'utf8')).trim());
      await expectRefused(verifier, bootstrap.issueManagementToken(request, new Date(START)));
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it.each([
    ['answers 500', { status: 500, body: '' }],
    ['answers with something else', { status: 200, body: '<html>' }],
  ])(
    'while its JWKS %s no token is called invalid, and afterwards tokens are verified again',
    async (_what, broken) => {
      const { verifier } = verifierOf(provider);
      const token = await signed(claims);
      answer = broken;
      await expect(verifier.verify(token)).rejects.toThrow(ManagementIssuerUnavailable);
      answer = jwks;
      await verifier.verify(token);
    },
  );

  it('a verified token is remembered for a minute, even while the issuer is away', async () => {
    const { clock, verifier } = verifierOf(provider);
    const token = await signed(claims);
    await verifier.verify(token);
    answer = { status: 500, body: '' };
    const hourLater = Date.now() + 3_600_000;
    const joseClock = jest.spyOn(Date, 'now').mockReturnValue(hourLater);
    try {
      clock.ms = START + 59_999;
      await expect(verifier.verify(token)).resolves.toMatchObject({ subject: 'alice' });
      clock.ms = START + 60_000;
      await expect(verifier.verify(token)).rejects.toThrow(ManagementIssuerUnavailable);
    } finally {
      joseClock.mockRestore();
    }
  });
});
