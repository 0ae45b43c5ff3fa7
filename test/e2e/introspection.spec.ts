import { createHmac, createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt, decodeProtectedHeader, type JSONWebKeySet } from 'jose';
import { signCompact, type TokenSigner } from '#tokens';
import { type Answer, type HttpRequest, send } from '../support/api/http.js';
import { apiKeyLogin, basic, form, oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { basicOf, clientOfKey, INACTIVE, introspect, refresh, refreshTokenOf } from '../support/api/oauth.js';
import { type NewClient, Portal, secretOf } from '../support/api/portal.js';
import { compromiseSigningKey, signerOf } from '../support/processes/data-dir.js';
import { Standalone } from '../support/processes/standalone.js';

const PUBLIC_URL = 'https://auth.example.com';

let dataDir: string;
let server: Standalone;
let portal: Portal;
let client: NewClient;
let apiKeyClient: NewClient;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  server = await Standalone.startReady({ dataDir, env: { PUBLIC_URL } });
  portal = Portal.of(server);
  await portal.register('sub_weather_1', { endpointUri: 'weather' });
  client = await portal.newClient('OAUTH2');
  apiKeyClient = await portal.newClient('API_KEY');
  await portal.assign(client.clientId, 'sub_weather_1');
  await portal.assign(apiKeyClient.clientId, 'sub_weather_1');
});

afterAll(async () => {
  await server.stop();
  rmSync(dataDir, { recursive: true });
});

const managementToken = (options: Parameters<typeof Portal.of>[1]) => ({
  authorization: `Bearer ${Portal.of(server, options).token}`,
});
const workspaceCaller = (workspaceId = 'acme') => managementToken({ workspaceId, scopes: ['tokens:introspect'] });
const operator = () => managementToken({ scopes: ['tokens:introspect', 'workspaces:any'] });

const post = (request: HttpRequest): Promise<Answer<unknown>> => send('POST', server.url, '/oauth/introspect', request);

function expectInactive({ status, text, headers }: Answer<unknown>, what = ''): void {
  expect(`${what} ${status} ${text}`).toBe(`${what} 200 ${INACTIVE}`);
  expect(headers).toMatchObject({
    'cache-control': 'no-store',
    'content-type': 'application/json; charset=utf-8',
  });
}

describe('a token that is good', () => {
  test('is described to its own client, with any hint and by every way to authenticate', async () => {
    const { body } = await oauthLogin(server.url, client, 'weather');
    const { jti, iat, exp } = decodeJwt(body.access_token);
    const { clientId: client_id, secret: client_secret } = client;
    const token = body.access_token;
    const requests = [
      form({ token }, basicOf(client)),
      form({ token, token_type_hint: 'access_token' }, basicOf(client)),
      form({ token, token_type_hint: 'refresh_token', client_id }, basicOf(client)),
      form({ token, token_type_hint: 'unheard-of', client_id, client_secret }),
      { body: { token, client_id, client_secret } },
    ];
    for (const request of requests) {
      const answer = await post(request);
      expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', pragma: 'no-cache' });
      expect(answer.body).toEqual({
        active: true,
        token_type: 'Bearer',
        ...{ iss: PUBLIC_URL, aud: `${PUBLIC_URL}/weather`, sub: client_id, client_id, iat, exp, jti },
        ...{ generation: 1, subscription_id: 'sub_weather_1', workspace_id: 'acme' },
      });
    }
  });

  test('may be a static token; its client authenticates with its API key, or with the id and secret inside it', async () => {
    const { clientId: client_id, secret } = apiKeyClient;
    const { body } = await apiKeyLogin(server.url, secret);
    for (const request of [
      form({ token: body.access_token }, basicOf(clientOfKey(secret))),
      form({ token: body.access_token, 'api-key': secret }),
      { body: { token: body.access_token, 'api-key': secret } },
    ]) {
      expect((await post(request)).body).toMatchObject({ active: true, client_id, aud: `${PUBLIC_URL}/gateway` });
    }
  });

  test('may be a refresh token, which has no token type and no audience', async () => {
    const token = refreshTokenOf(await oauthLogin(server.url, client, 'weather'));
    const answer = await introspect(server.url, token, basicOf(client));
    const { iat, exp } = answer.body;
    expect(Number(exp) - Number(iat)).toBe(1800);
    expect(answer.body).toEqual({
      active: true,
      ...{ iss: PUBLIC_URL, sub: client.clientId, client_id: client.clientId, iat, exp },
      ...{ generation: 1, subscription_id: 'sub_weather_1', workspace_id: 'acme' },
    });
  });
});

describe('callers who may introspect', () => {
  test('a client: its own tokens only', async () => {
    const stranger = await portal.newClient('OAUTH2');
    const login = await oauthLogin(server.url, client);
    for (const token of [login.body.access_token, refreshTokenOf(login)]) {
      expectInactive(await introspect(server.url, token, basicOf(stranger)));
      expectInactive(await introspect(server.url, token, basicOf(clientOfKey(apiKeyClient.secret))));
    }
  });

  test('a management token with tokens:introspect: the tokens of its workspace; an operator: all tokens', async () => {
    const login = await oauthLogin(server.url, client);
    const { access_token: ofKey } = (await apiKeyLogin(server.url, apiKeyClient.secret)).body;
    for (const token of [login.body.access_token, refreshTokenOf(login), ofKey]) {
      expect((await introspect(server.url, token, workspaceCaller())).body.active).toBe(true);
      expect((await introspect(server.url, token, operator())).body.active).toBe(true);
      expectInactive(await introspect(server.url, token, workspaceCaller('globex')));
    }
  });

  test('no other management token, not the administrator’s token, and no consumer’s token', async () => {
    const token = (await oauthLogin(server.url, client)).body.access_token;
    const withoutScope = await introspect(server.url, token, managementToken({ scopes: ['clients:read'] }));
    expect(oauthErrorOf(withoutScope)).toMatchObject({ status: 403, error: 'insufficient_scope' });
    expect(withoutScope.header('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", scope="tokens:introspect"',
    );
    for (const bearer of [server.adminToken, token, `${portal.token}x`, 'a.b.c']) {
      const answer = await introspect(server.url, token, { authorization: `Bearer ${bearer}` });
      expect(oauthErrorOf(answer)).toMatchObject({ status: 401, error: 'invalid_token' });
      expect(answer.header('www-authenticate')).toBe('Bearer error="invalid_token"');
    }
  });

  test('nobody without authentication (401) or with a malformed request (400)', async () => {
    const token = (await oauthLogin(server.url, client)).body.access_token;
    const { clientId: client_id, secret: client_secret } = client;
    const strangers: HttpRequest[] = [
      form({ token }),
      form({ token, client_id }),
      form({ token }, { authorization: 'Basic' }),
      form({ token }, { authorization: 'Bearer' }),
      form({ token }, { authorization: basic(client_id, `ccs_${'a'.repeat(52)}`) }),
      form({ token, 'api-key': 'x' }),
    ];
    for (const request of strangers) {
      const answer = await post(request);
      expect(oauthErrorOf(answer)).toEqual({
        status: 401,
        ...{ error: 'invalid_client', error_description: 'Client authentication failed' },
      });
      expect(answer.header('www-authenticate')).toMatch(/^Basic realm=/);
      expect(answer.header('cache-control')).toBe('no-store');
    }
    const malformed: HttpRequest[] = [
      form({}, basicOf(client)),
      form({ token: '' }, basicOf(client)),
      form([['token', token], ['token', token]], basicOf(client)),
      form({ token, client_secret }, basicOf(client)),
      form({ token, client_id: apiKeyClient.clientId }, basicOf(client)),
      form({ token, 'api-key': apiKeyClient.secret }, basicOf(client)),
      form({ token, 'api-key': apiKeyClient.secret, client_secret }),
      form({ token, client_secret }, workspaceCaller()),
      form({ token, 'api-key': apiKeyClient.secret }, workspaceCaller()),
      { body: { token: 7 } },
    ]; // prettier-ignore
    for (const request of malformed) {
      const answer = await post(request);
      expect(oauthErrorOf(answer)).toMatchObject({ status: 400, error: 'invalid_request' });
      expect(answer.text).not.toContain(token);
    }
    const inUrl = await send('POST', server.url, `/oauth/introspect?token=${token}`, form({ token }, basicOf(client)));
    expect(oauthErrorOf(inUrl)).toMatchObject({ status: 400, error: 'invalid_request' });
  });
});

describe('every token that is not good is {"active": false}', () => {
  let signer: TokenSigner;
  let good: string;
  let claims: Record<string, unknown>;
  let header: Record<string, unknown>;

  beforeAll(async () => {
    signer = await signerOf(dataDir);
    good = (await oauthLogin(server.url, client)).body.access_token;
    claims = decodeJwt(good);
    header = { ...decodeProtectedHeader(good) };
  });

  const signed = (change: Record<string, unknown> = {}, headerChange: Record<string, unknown> = {}) =>
    signCompact({ ...header, ...headerChange }, { ...claims, ...change }, signer);
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = () => Math.floor(Date.now() / 1000);

  /** Introspects the token as an operator, because an operator may introspect all tokens. */
  const ask = (token: string) => introspect(server.url, token, operator());

  test('a token with wrong claims, even signed with the real key', async () => {
    expect((await ask(signed())).body.active).toBe(true);
    const tokens: Record<string, string> = {
      expired: signed({ iat: now() - 310, exp: now() - 10 }),
      'just expired: no leeway': signed({ iat: now() - 301, exp: now() - 1 }),
      'of the future': signed({ iat: now() + 60, exp: now() + 360 }),
      'not to be used yet': signed({ nbf: now() + 60 }),
      'of another issuer': signed({ iss: 'https://other.example.com' }),
      'of another audience': signed({ aud: `${PUBLIC_URL}/weather` }),
      'of an endpoint that it does not name': signed({ aud: `${PUBLIC_URL}/tides`, subscription_id: 'sub_weather_1' }),
      'of a subscription that does not exist': signed({ subscription_id: 'sub_nothing', aud: `${PUBLIC_URL}/weather` }),
      'of a future generation': signed({ generation: 2 }),
      'of no generation': signed({ generation: 0 }),
      'of an unknown client': signed({ sub: 'cc_aaaaaaaaaaaaaaaaaaaaaa', client_id: 'cc_aaaaaaaaaaaaaaaaaaaaaa' }),
      'of two clients': signed({ sub: apiKeyClient.clientId }),
      'of an API key’s client, which has another static token': signed({
        sub: apiKeyClient.clientId,
        client_id: apiKeyClient.clientId,
      }),
      'without an expiry': signed({ exp: undefined }),
      'of another type': signed({}, { typ: 'JWT' }),
      'with a critical extension': signed({}, { crit: ['x'], x: 1 }),
      'over 2 KB': `${good}${'A'.repeat(2048)}`,
    };
    for (const [what, token] of Object.entries(tokens)) expectInactive(await ask(token), what);
    expect((await ask(signed({ iat: now() + 4, exp: now() + 300 }))).body.active).toBe(true);
  });

  test('a forged token', async () => {
    const [head = '', body = '', signature = ''] = good.split('.');
    const keys = (await send<JSONWebKeySet>('GET', server.url, '/.well-known/jwks.json')).body.keys;
    const jwk = keys.find(({ kid }) => kid === signer.kid);
    if (!jwk) throw new Error('The signing key is not published');
    const publicKey = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    const hmac = (key: string | Buffer) => {
      const input = `${encoded({ ...header, alg: 'HS256' })}.${body}`;
      return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`;
    };
    const refreshToken = refreshTokenOf(await oauthLogin(server.url, client));
    const forged: Record<string, string> = {
      'alg none': `${encoded({ ...header, alg: 'none' })}.${body}.`,
      'HMAC with the public key as PEM': hmac(publicKey.export({ format: 'pem', type: 'spki' })),
      'HMAC with the public key as JWK': hmac(JSON.stringify(jwk)),
      'HMAC with the bytes of the public key': hmac(Buffer.from(jwk.x ?? '', 'base64url')),
      'an unknown kid': `${encoded({ ...header, kid: 'unknown' })}.${body}.${signature}`,
      'a stripped signature': `${head}.${body}.`,
      'no signature': `${head}.${body}`,
      'tampered claims': `${head}.${encoded({ ...claims, exp: now() + 9999 })}.${signature}`,
      'a management token': portal.token,
      'a refresh token with one character changed': `${refreshToken.slice(0, -9)}A${refreshToken.slice(-8)}`,
      'an API key': apiKeyClient.secret,
      'a huge text': 'A.'.repeat(3000),
      words: 'not a token',
      'a property name of Object': '__proto__',
    };
    for (const [what, token] of Object.entries(forged)) expectInactive(await ask(token), what);
  });
});

describe('revoked means revoked', () => {
  test('a token is inactive once its end is acknowledged, in every way to end it; a new assignment makes its tokens active again', async () => {
    const one = await portal.newClient('OAUTH2');
    await portal.register('sub_ending', { endpointUri: 'ending' });
    await portal.assign(one.clientId, 'sub_ending');
    const caller = operator();
    const tokens = [await oauthLogin(server.url, one, 'ending'), await oauthLogin(server.url, one, 'ending')].flatMap(
      (login) => [login.body.access_token, refreshTokenOf(login)],
    );
    const active = async () =>
      Promise.all(tokens.map(async (token) => (await introspect(server.url, token, caller)).body.active));
    const all = (value: boolean) => tokens.map(() => value);

    expect(await active()).toEqual(all(true));
    await portal.unassign(one.clientId, 'sub_ending');
    expect(await active()).toEqual(all(false));
    await portal.assign(one.clientId, 'sub_ending');
    expect(await active()).toEqual(all(true));
    const secret = secretOf((await portal.rotate(one.clientId, { overlapSeconds: 60 })).body.credential);
    expect(await active()).toEqual(all(true));
    await portal.retire(one.clientId, 1);
    expect(await active()).toEqual(all(false));

    const login = await oauthLogin(server.url, { ...one, secret }, 'ending');
    tokens.splice(0, 4, login.body.access_token, refreshTokenOf(login));
    expect(await active()).toEqual(all(true));
    await portal.end('sub_ending');
    expect(await active()).toEqual(all(false));

    const plain = await oauthLogin(server.url, { ...one, secret });
    const refreshed = await refresh(server.url, { ...one, secret }, refreshTokenOf(plain));
    tokens.splice(0, 2, plain.body.access_token, refreshed.body.access_token, refreshTokenOf(refreshed));
    expect(await active()).toEqual(all(true));
    await portal.revoke(one.clientId);
    expect(await active()).toEqual(all(false));
  });

  test('all tokens of a compromised signing key are inactive for good, static tokens included', async () => {
    const access = (await oauthLogin(server.url, client)).body.access_token;
    const fixed = (await apiKeyLogin(server.url, apiKeyClient.secret)).body.access_token;
    for (const token of [access, fixed])
      expect((await introspect(server.url, token, operator())).body.active).toBe(true);
    await compromiseSigningKey(dataDir);
    for (const token of [access, fixed]) expectInactive(await introspect(server.url, token, operator()));
    const { keys } = (await send<JSONWebKeySet>('GET', server.url, '/.well-known/jwks.json')).body;
    expect(keys.map(({ kid }) => kid)).not.toContain(decodeProtectedHeader(fixed).kid);
    const other = (await oauthLogin(server.url, client)).body.access_token;
    expect((await introspect(server.url, other, operator())).body.active).toBe(true);
    await server.stop();
    server = await Standalone.startReady({ dataDir, env: { PUBLIC_URL } });
    for (const token of [access, fixed]) expectInactive(await introspect(server.url, token, operator()));
    const next = (await apiKeyLogin(server.url, apiKeyClient.secret)).body.access_token;
    expect(next).not.toBe(fixed);
    expect((await introspect(server.url, next, operator())).body.active).toBe(true);
  });
});
