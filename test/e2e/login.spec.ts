import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from 'jose';
import { apiKeyOf, MasterKeys, mintSecret, newClientId } from '#credentials';
import { standaloneMasterKey } from '#stores';
import { type Answer, eventually, send } from '../support/api/http.js';
import {
  apiKeyLogin,
  basic,
  form,
  type LoginAnswer,
  oauthErrorOf,
  oauthLogin,
  postLogin,
} from '../support/api/login.js';
import { type NewClient, Portal, secretOf } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const PUBLIC_URL = 'https://auth.example.com';
const env = { PUBLIC_URL };

let dataDir: string;
let server: Standalone;
let portal: Portal;
let apiKeyClient: NewClient;
let oauthClient: NewClient;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  server = await Standalone.startReady({ dataDir, env });
  portal = Portal.of(server);
  await portal.register('sub_weather_1', { endpointUri: 'weather' });
  await portal.register('sub_tides_1', { endpointUri: 'tides' });
  apiKeyClient = await portal.newClient('API_KEY');
  oauthClient = await portal.newClient('OAUTH2');
  await portal.assign(apiKeyClient.clientId, 'sub_weather_1');
  await portal.assign(oauthClient.clientId, 'sub_weather_1');
});

afterAll(async () => {
  await server.stop();
  rmSync(dataDir, { recursive: true });
});

const CREDENTIALS_GRANT = { grant_type: 'client_credentials' };

/** Verifies the token with the published keys, as a gateway would. Resolves to the token's claims. */
async function verified({ body }: Answer<LoginAnswer>, audience: string) {
  const keys = await send<JSONWebKeySet>('GET', server.url, '/.well-known/jwks.json');
  const { payload, protectedHeader } = await jwtVerify(body.access_token, createLocalJWKSet(keys.body), {
    issuer: PUBLIC_URL,
    audience,
    typ: 'at+jwt',
    algorithms: ['EdDSA'],
    requiredClaims: ['sub', 'exp', 'iat', 'jti', 'client_id', 'generation'],
  });
  expect(protectedHeader).toEqual({ alg: 'EdDSA', kid: expect.any(String) as unknown, typ: 'at+jwt' });
  return payload;
}

describe('an OAUTH2 client', () => {
  const withUnderscoresEscaped = (text: string) => text.replaceAll('_', '%5F');
  const ways: [string, () => Parameters<typeof postLogin>[2]][] = [
    ['Basic', () => form(CREDENTIALS_GRANT, { authorization: basic(oauthClient.clientId, oauthClient.secret) })],
    [
      'Basic, form-encoded to the letter',
      () => {
        const pair = [oauthClient.clientId, oauthClient.secret].map(withUnderscoresEscaped) as [string, string];
        return form(CREDENTIALS_GRANT, { authorization: basic(...pair) });
      },
    ],
    [
      'Basic, with the same client_id in the body',
      () =>
        form(
          { ...CREDENTIALS_GRANT, client_id: oauthClient.clientId },
          { authorization: basic(oauthClient.clientId, oauthClient.secret) },
        ),
    ],
    [
      'a form',
      () => form({ ...CREDENTIALS_GRANT, client_id: oauthClient.clientId, client_secret: oauthClient.secret }),
    ],
    [
      'JSON',
      () => ({ body: { ...CREDENTIALS_GRANT, client_id: oauthClient.clientId, client_secret: oauthClient.secret } }),
    ],
    [
      'a form with parameters that nobody knows',
      () =>
        form({ ...CREDENTIALS_GRANT, client_id: oauthClient.clientId, client_secret: oauthClient.secret, scope: 'x' }),
    ],
  ];

  test.each(ways)('logs in by %s, at the plain login and at its endpoint', async (_, request) => {
    const plain = await postLogin(server.url, undefined, request());
    expect(plain.status).toBe(200);
    expect(plain.header('cache-control')).toBe('no-store');
    expect(plain.header('pragma')).toBe('no-cache');
    expect(plain.body).toEqual({
      access_token: expect.any(String) as unknown,
      token_type: 'Bearer',
      expires_in: 300,
      refresh_token: expect.any(String) as unknown,
      refresh_token_expires_in: 1800,
    });
    const now = Math.floor(Date.now() / 1000);
    const claims = await verified(plain, `${PUBLIC_URL}/gateway`);
    expect(claims).toEqual({
      iss: PUBLIC_URL,
      sub: oauthClient.clientId,
      client_id: oauthClient.clientId,
      aud: `${PUBLIC_URL}/gateway`,
      iat: claims.iat,
      exp: (claims.iat ?? 0) + 300,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
      generation: 1,
      family_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
      family_iat: claims.iat,
      token_epoch: 0,
    });
    expect(Math.abs((claims.iat ?? 0) - now)).toBeLessThanOrEqual(1);

    const atEndpoint = await postLogin(server.url, 'weather', request());
    expect(await verified(atEndpoint, `${PUBLIC_URL}/weather`)).toMatchObject({
      sub: oauthClient.clientId,
      generation: 1,
      subscription_id: 'sub_weather_1',
    });
    expect(atEndpoint.body.access_token.length).toBeLessThan(2048);
  });

  test('gets another token at each login', async () => {
    const [one, two] = [await oauthLogin(server.url, oauthClient), await oauthLogin(server.url, oauthClient)];
    expect(decodeJwt(one.body.access_token).jti).not.toBe(decodeJwt(two.body.access_token).jti);
  });
});

describe('an API_KEY client', () => {
  test('logs in by JSON and by a form, and gets the same year-long bytes each time, one per scope', async () => {
    const plain = await apiKeyLogin(server.url, apiKeyClient.secret);
    expect(plain.header('cache-control')).toBe('no-store');
    expect(Object.keys(plain.body).sort()).toEqual(['access_token', 'expires_in', 'token_type']);
    expect(plain.body.token_type).toBe('Bearer');
    expect(plain.body.expires_in).toBeGreaterThan(31_535_900);
    expect(plain.body.expires_in).toBeLessThanOrEqual(31_536_000);
    const claims = await verified(plain, `${PUBLIC_URL}/gateway`);
    expect(claims).toMatchObject({ sub: apiKeyClient.clientId, client_id: apiKeyClient.clientId, generation: 1 });
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(31_536_000);

    const byForm = await postLogin(server.url, undefined, form({ 'api-key': apiKeyClient.secret }));
    expect(byForm.body.access_token).toBe(plain.body.access_token);

    const atEndpoint = await apiKeyLogin(server.url, apiKeyClient.secret, 'weather');
    expect(atEndpoint.body.access_token).not.toBe(plain.body.access_token);
    expect(await verified(atEndpoint, `${PUBLIC_URL}/weather`)).toMatchObject({ subscription_id: 'sub_weather_1' });
    const again = await apiKeyLogin(server.url, apiKeyClient.secret, 'weather');
    expect(again.body.access_token).toBe(atEndpoint.body.access_token);
  });

  test('twenty first logins at once get one token, and one event', async () => {
    const { clientId, secret } = await portal.newClient('API_KEY');
    const logins = await Promise.all(Array.from({ length: 20 }, () => apiKeyLogin(server.url, secret)));
    expect(new Set(logins.map(({ body }) => body.access_token)).size).toBe(1);
    const issued = await portal.wholeHistory(clientId, await portal.readNow());
    expect(issued.map(({ type }) => type)).toEqual(['ConsumerClientCreated', 'ConsumerClientStaticTokenIssued']);
  });

  test('gets the same bytes from a restarted process, even under another PUBLIC_URL', async () => {
    const before = await apiKeyLogin(server.url, apiKeyClient.secret);
    await server.stop();
    server = await Standalone.startReady({ dataDir, env: { PUBLIC_URL: 'https://elsewhere.example.com' } });
    const elsewhere = await apiKeyLogin(server.url, apiKeyClient.secret);
    expect(elsewhere.body.access_token).toBe(before.body.access_token);
    await server.kill();
    server = await Standalone.startReady({ dataDir, env });
    portal = Portal.of(server);
    const after = await apiKeyLogin(server.url, apiKeyClient.secret);
    expect(after.body.access_token).toBe(before.body.access_token);
    await verified(after, `${PUBLIC_URL}/gateway`);
  });
});

describe('refused logins', () => {
  test('an unknown client, a wrong secret, a revoked client, the other type: all get the same answer', async () => {
    const revoked = await portal.newClient('OAUTH2');
    await portal.revoke(revoked.clientId);
    const revokedKey = await portal.newClient('API_KEY');
    await portal.revoke(revokedKey.clientId);
    const masterKeys = MasterKeys.from({ current: standaloneMasterKey(dataDir), previous: [] });
    const unknown = newClientId();
    const genuineLooking = mintSecret(unknown, masterKeys);
    const anotherSecret = mintSecret(oauthClient.clientId, masterKeys);
    const secretOfKey = Buffer.from(apiKeyClient.secret, 'base64').toString().split(':')[1] ?? '';
    const made = `ccs_${'a'.repeat(52)}`;
    const basicOf = (clientId: string, secret: string) =>
      form(CREDENTIALS_GRANT, { authorization: basic(clientId, secret) });
    const refused: Record<string, Parameters<typeof postLogin>[2]> = {
      'an unknown client': basicOf(unknown, genuineLooking),
      'an unknown client’s key': { body: { 'api-key': apiKeyOf(unknown, genuineLooking) } },
      'a made-up secret': basicOf(oauthClient.clientId, made),
      'a secret that was minted, but never attached': basicOf(oauthClient.clientId, anotherSecret),
      'another client’s secret': basicOf(oauthClient.clientId, secretOfKey),
      'an empty secret': basicOf(oauthClient.clientId, ''),
      'a revoked client': basicOf(revoked.clientId, revoked.secret),
      'a revoked key': { body: { 'api-key': revokedKey.secret } },
      'an API key’s pair at the OAuth grant': basicOf(apiKeyClient.clientId, secretOfKey),
      'an OAuth pair as an API key': { body: { 'api-key': apiKeyOf(oauthClient.clientId, oauthClient.secret) } },
      'no API key at all': { body: { 'api-key': 'x' } },
      'no base64 in Basic': form(CREDENTIALS_GRANT, { authorization: 'Basic ***' }),
      'a bearer token': form(CREDENTIALS_GRANT, { authorization: `Bearer ${portal.token}` }),
      'a form without a secret': form({ ...CREDENTIALS_GRANT, client_id: oauthClient.clientId }),
      'broken percent-encoding': basicOf('%zz', '%zz'),
      'a prototype name': basicOf('__proto__', 'constructor'),
    };
    for (const endpoint of [undefined, 'weather', 'unknown-endpoint']) {
      for (const [who, request] of Object.entries(refused)) {
        const answer = await postLogin(server.url, endpoint, request);
        expect({ who, status: answer.status, text: answer.text }).toEqual({
          who,
          status: 401,
          text: '{"error":"invalid_client","error_description":"Client authentication failed"}',
        });
        expect(answer.header('www-authenticate')).toMatch(/^Basic realm=/);
        expect(answer.header('cache-control')).toBe('no-store');
        expect(answer.header('content-type')).toBe('application/json; charset=utf-8');
      }
    }
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['nothing', ''],
  ])('a JSON parameter that is %s counts as omitted', async (_what, none) => {
    const { clientId, secret } = oauthClient;
    const logins = [
      { headers: { authorization: basic(clientId, secret) }, body: { ...CREDENTIALS_GRANT, client_secret: none } },
      { headers: { authorization: basic(clientId, secret) }, body: { ...CREDENTIALS_GRANT, client_id: none } },
      { body: { ...CREDENTIALS_GRANT, client_id: clientId, client_secret: secret, 'api-key': none } },
      { body: { 'api-key': apiKeyClient.secret, grant_type: none, client_secret: none, refresh_token: none } },
    ];
    for (const login of logins) expect((await postLogin(server.url, undefined, login)).status).toBe(200);
    for (const [body, description] of [
      [{ 'api-key': none }, 'api-key or grant_type is needed'],
      [{ grant_type: 'refresh_token', refresh_token: none }, 'refresh_token is needed'],
    ] as const) {
      const refused = oauthErrorOf(await postLogin(server.url, undefined, { body }));
      expect(refused).toEqual({ status: 400, error: 'invalid_request', error_description: description });
    }
  });

  test('unknown JSON parameters of any type are ignored, and known ones must be strings', async () => {
    const { clientId: client_id, secret: client_secret } = oauthClient;
    const credentials = { client_id, client_secret };
    const unknown = { scope: ['a'], audience: null, resource: { a: [1, null] }, 'x y': 7, extra: true, empty: '' };
    for (const known of [{ ...CREDENTIALS_GRANT, ...credentials }, { 'api-key': apiKeyClient.secret }]) {
      const answer = await postLogin(server.url, undefined, { body: { ...unknown, token: 7, ...known } });
      expect(answer.status).toBe(200);
    }
    const introspection = { ...unknown, ...credentials, token: 'x', grant_type: 7, token_type_hint: [] };
    expect((await send('POST', server.url, '/oauth/introspect', { body: introspection })).text).toBe(
      '{"active":false}',
    );
    for (const [name, value] of [
      ['client_secret', 7],
      ['client_id', { a: 1 }],
      ['grant_type', ['client_credentials']],
      ['api-key', false],
      ['refresh_token', 0],
    ] as const) {
      const body = { ...CREDENTIALS_GRANT, ...credentials, [name]: value };
      expect(oauthErrorOf(await postLogin(server.url, undefined, { body }))).toEqual({
        ...{ status: 400, error: 'invalid_request', error_description: `${name} must be a string` },
      });
    }
  });

  test('a malformed request is 400 invalid_request', async () => {
    const { clientId, secret } = oauthClient;
    const authorization = basic(clientId, secret);
    const requests: Record<string, Parameters<typeof postLogin>[2]> = {
      'Basic and a secret in the body': form({ ...CREDENTIALS_GRANT, client_secret: secret }, { authorization }),
      'Basic and another client_id': form({ ...CREDENTIALS_GRANT, client_id: apiKeyClient.clientId }, { authorization }),
      'an API key and Basic': form({ 'api-key': apiKeyClient.secret }, { authorization }),
      'an API key and a grant': form({ 'api-key': apiKeyClient.secret, ...CREDENTIALS_GRANT }),
      'an API key and a secret': form({ 'api-key': apiKeyClient.secret, client_secret: secret }),
      'a repeated grant_type': form([['grant_type', 'client_credentials'], ['grant_type', 'client_credentials']], { authorization }),
      'a repeated client_secret': form([...Object.entries(CREDENTIALS_GRANT), ['client_id', clientId], ['client_secret', secret], ['client_secret', secret]]),
      'a repeated JSON member': { headers: { 'content-type': 'application/json' }, body: Buffer.from(`{"api-key":"${apiKeyClient.secret}","api-key":"${apiKeyClient.secret}"}`) },
      'no grant': form({}, { authorization }),
      'nothing at all': {},
      'a number for a string': { body: { 'api-key': 7 } },
    }; // prettier-ignore
    for (const [what, request] of Object.entries(requests)) {
      const answer = await postLogin(server.url, undefined, request);
      expect({ what, ...oauthErrorOf(answer) }).toMatchObject({ what, status: 400, error: 'invalid_request' });
      expect(answer.header('cache-control')).toBe('no-store');
      expect(answer.text).not.toContain(secret);
    }
    const otherGrant = await postLogin(server.url, undefined, form({ grant_type: 'password' }, { authorization }));
    expect(oauthErrorOf(otherGrant)).toMatchObject({ status: 400, error: 'unsupported_grant_type' });
  });

  test('a secret in the query is refused, even a good one', async () => {
    const { clientId, secret } = oauthClient;
    const query = new URLSearchParams({ ...CREDENTIALS_GRANT, client_id: clientId, client_secret: secret }).toString();
    const authorization = basic(clientId, secret);
    for (const path of [
      `/login?${query}`,
      `/weather/login?${query}`,
      `/login?api-key=${encodeURIComponent(apiKeyClient.secret)}`,
    ]) {
      const answer = await send('POST', server.url, path, form(CREDENTIALS_GRANT, { authorization }));
      expect(oauthErrorOf(answer)).toMatchObject({ status: 400, error: 'invalid_request' });
      expect(answer.text).not.toContain(secret);
    }
  });

  test('an endpoint that is unknown, has ended or is not assigned: the same 400, and only after authentication', async () => {
    await portal.register('sub_over', { endpointUri: 'over' });
    await portal.assign(oauthClient.clientId, 'sub_over');
    await portal.end('sub_over');
    const refusals = [];
    for (const endpoint of [
      'unknown-endpoint',
      'over',
      'tides',
      'UPPER',
      '%00',
      'a%2Fb',
      '..%2f..%2fv1',
      '__proto__',
    ]) {
      const answer = await oauthLogin(server.url, oauthClient, endpoint);
      expect(answer.header('cache-control')).toBe('no-store');
      refusals.push(`${answer.status} ${answer.text}`);
      const stranger = { ...oauthClient, secret: `ccs_${'a'.repeat(52)}` };
      expect((await oauthLogin(server.url, stranger, endpoint)).status).toBe(401);
    }
    expect(new Set(refusals)).toEqual(
      new Set(['400 {"error":"unauthorized_client","error_description":"The client may not log in at this endpoint"}']),
    );
  });
});

describe('revoked means revoked', () => {
  test('a rotation ends the former secret at once', async () => {
    const { clientId, ...created } = await portal.newClient('OAUTH2');
    let { secret } = created;
    for (let round = 0; round < 5; round++) {
      expect((await oauthLogin(server.url, { clientId, secret })).status).toBe(200);
      const { credential } = (await portal.rotate(clientId)).body;
      expect((await oauthLogin(server.url, { clientId, secret })).status).toBe(401);
      secret = secretOf(credential);
    }
  });

  test('a secret in its overlap is good until the overlap ends, and not after it', async () => {
    const { clientId, secret } = await portal.newClient('API_KEY');
    const rotated = await portal.rotate(clientId, { overlapSeconds: 1 });
    const [{ expiresAt } = { expiresAt: '' }] = rotated.body.client.credentials;
    const newest = secretOf(rotated.body.credential);
    const former = await apiKeyLogin(server.url, secret);
    expect(decodeJwt(former.body.access_token)).toMatchObject({ generation: 1 });
    expect(decodeJwt((await apiKeyLogin(server.url, newest)).body.access_token)).toMatchObject({ generation: 2 });
    await eventually(
      () => apiKeyLogin(server.url, secret),
      ({ status }) => status === 401,
    );
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt ?? ''));
    expect((await apiKeyLogin(server.url, newest)).status).toBe(200);
  });

  test('no login that begins after the acknowledgement of a revocation, an unassignment or an end succeeds', async () => {
    for (let round = 0; round < 5; round++) {
      const subscriptionId = `sub_${randomUUID()}`;
      const endpoint = `end-${round}`;
      await portal.register(subscriptionId, { endpointUri: endpoint });
      const client = await portal.newClient('OAUTH2');
      const commands = [
        () => portal.unassign(client.clientId, subscriptionId),
        () => portal.end(subscriptionId),
        () => portal.revoke(client.clientId),
      ];
      const command = commands[round % commands.length];
      if (!command) throw new Error('No command');
      await portal.assign(client.clientId, subscriptionId);
      expect((await oauthLogin(server.url, client, endpoint)).status).toBe(200);
      let acknowledged = false;
      const outcomes: { status: number; beganAfter: boolean }[] = [];
      const consumer = async () => {
        for (let after = 0; after < 5;) {
          const beganAfter = acknowledged;
          const { status } = await oauthLogin(server.url, client, endpoint);
          outcomes.push({ status, beganAfter });
          if (beganAfter) after += 1;
        }
      };
      const consumers = [consumer(), consumer(), consumer()];
      await command();
      acknowledged = true;
      await Promise.all(consumers);
      expect(outcomes.filter(({ beganAfter, status }) => beganAfter && status === 200)).toEqual([]);
    }
  });
});

test('the published keys are public ones', async () => {
  const answer = await send<JSONWebKeySet>('GET', server.url, '/.well-known/jwks.json');
  expect(answer.header('content-type')).toMatch(/^application\/jwk-set\+json/);
  expect(answer.header('cache-control')).toBe('public, max-age=300');
  expect(answer.body.keys.length).toBeGreaterThan(0);
  for (const key of answer.body.keys) {
    expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x']);
  }
});
