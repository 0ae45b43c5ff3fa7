import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { type JsonWebKeySet } from '#tokens';
import { send } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const PUBLIC_URL = 'https://auth.example.com';

let dataDir: string;
let server: Standalone;
let portal: Portal;
let consumer: NewClient;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  server = await Standalone.startReady({ dataDir, env: { PUBLIC_URL } });
  portal = Portal.of(server);
  await portal.register('sub_weather_1', { endpointUri: 'weather' });
  consumer = await portal.newClient('OAUTH2');
  await portal.assign(consumer.clientId, 'sub_weather_1');
});

afterAll(async () => {
  await server.stop();
  rmSync(dataDir, { recursive: true });
});

/** Sends requests for the public URL to the server, as a TLS proxy in front of the server would. */
const throughProxy = (url: string, options: RequestInit) => fetch(url.replace(PUBLIC_URL, server.url), options);

test('the metadata name every endpoint and its ways to authenticate (RFC 8414)', async () => {
  const answer = await send('GET', server.url, '/.well-known/oauth-authorization-server');
  expect(answer.header('content-type')).toMatch(/^application\/json/);
  expect(answer.header('cache-control')).toBe('public, max-age=300');
  expect(answer.body).toEqual({
    issuer: PUBLIC_URL,
    token_endpoint: `${PUBLIC_URL}/login`,
    introspection_endpoint: `${PUBLIC_URL}/oauth/introspect`,
    revocation_endpoint: `${PUBLIC_URL}/oauth/revoke`,
    jwks_uri: `${PUBLIC_URL}/.well-known/jwks.json`,
    response_types_supported: [],
    grant_types_supported: ['client_credentials', 'refresh_token'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'Bearer'],
    revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
  });
});

test('the metadata of an issuer with a path are found under that path', async () => {
  const issuer = 'https://example.com/auth';
  const behind = await Standalone.start({ env: { PUBLIC_URL: issuer } });
  try {
    const answer = await send('GET', behind.url, '/.well-known/oauth-authorization-server/auth');
    expect(answer.body).toMatchObject({ issuer, token_endpoint: `${issuer}/login` });
  } finally {
    await behind.stop();
  }
});

describe.each([
  ['client_secret_basic', client.ClientSecretBasic],
  ['client_secret_post', client.ClientSecretPost],
])('openid-client, by %s', (_, authentication) => {
  const discovered = () =>
    client.discovery(new URL(PUBLIC_URL), consumer.clientId, undefined, authentication(consumer.secret), {
      algorithm: 'oauth2',
      [client.customFetch]: throughProxy as client.CustomFetch,
    });

  test('discovers, logs in, refreshes, introspects and revokes', async () => {
    const configuration = await discovered();
    const login = await client.clientCredentialsGrant(configuration);
    expect(login).toMatchObject({ token_type: 'bearer', expires_in: 300 });
    expect(await client.tokenIntrospection(configuration, login.access_token)).toMatchObject({
      active: true,
      client_id: consumer.clientId,
      token_type: 'Bearer',
    });

    const refreshed = await client.refreshTokenGrant(configuration, login.refresh_token ?? '');
    expect(refreshed.access_token).not.toBe(login.access_token);
    expect((await client.tokenIntrospection(configuration, refreshed.refresh_token ?? '')).active).toBe(true);

    await client.tokenRevocation(configuration, login.access_token);
    expect(await client.tokenIntrospection(configuration, login.access_token)).toEqual({ active: false });
    expect((await client.tokenIntrospection(configuration, refreshed.access_token)).active).toBe(true);

    await client.tokenRevocation(configuration, refreshed.refresh_token ?? '');
    expect(await client.tokenIntrospection(configuration, refreshed.access_token)).toEqual({ active: false });
    await expect(client.refreshTokenGrant(configuration, login.refresh_token ?? '')).rejects.toMatchObject({
      status: 400,
      error: 'invalid_grant',
    });
  });

  test('understands every refusal', async () => {
    const configuration = await discovered();
    const stranger = new client.Configuration(
      configuration.serverMetadata(),
      consumer.clientId,
      undefined,
      authentication(`ccs_${'a'.repeat(52)}`),
    );
    stranger[client.customFetch] = throughProxy as client.CustomFetch;
    const asked = [
      () => client.clientCredentialsGrant(stranger),
      () => client.refreshTokenGrant(stranger, 'x'),
      () => client.tokenIntrospection(stranger, 'x'),
      () => client.tokenRevocation(stranger, 'x'),
    ];
    for (const ask of asked) {
      await expect(ask()).rejects.toMatchObject({
        status: 401,
        cause: [{ scheme: 'basic', parameters: { realm: 'consumer-clients' } }],
      });
    }
  });
});

describe('the key set', () => {
  test('lets any gateway verify both kinds of tokens (jose)', async () => {
    const keys = createRemoteJWKSet(new URL(`${PUBLIC_URL}/.well-known/jwks.json`), { [customFetch]: throughProxy });
    const key = await portal.newClient('API_KEY');
    await portal.assign(key.clientId, 'sub_weather_1');
    const configuration = new client.Configuration(
      { issuer: PUBLIC_URL, token_endpoint: `${PUBLIC_URL}/weather/login` },
      consumer.clientId,
      consumer.secret,
    );
    configuration[client.customFetch] = throughProxy as client.CustomFetch;
    const tokens = [
      (await client.clientCredentialsGrant(configuration)).access_token,
      (await apiKeyLogin(server.url, key.secret, 'weather')).body.access_token,
    ];
    for (const token of tokens) {
      const expected = { issuer: PUBLIC_URL, audience: `${PUBLIC_URL}/weather`, typ: 'at+jwt' };
      const { payload } = await jwtVerify(token, keys, expected);
      expect(payload).toMatchObject({ subscription_id: 'sub_weather_1' });
    }
  });

  test('is cached for five minutes, and not sent again to a caller that has it', async () => {
    const path = '/.well-known/jwks.json';
    const first = await send<JsonWebKeySet>('GET', server.url, path);
    const etag = first.header('etag');
    expect(first.header('cache-control')).toBe('public, max-age=300');
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await send('GET', server.url, path, { headers: { 'if-none-match': known } });
      expect({ status: again.status, text: again.text }).toEqual({ status: 304, text: '' });
      expect(again.headers).toMatchObject({ etag, 'cache-control': 'public, max-age=300' });
    }
    const other = await send<JsonWebKeySet>('GET', server.url, path, { headers: { 'if-none-match': '"other"' } });
    expect(other.body).toEqual(first.body);
  });
});

test('a token of a former issuer was good as far as the log tells, and is refused since the issuer has changed', async () => {
  const login = await oauthLogin(server.url, consumer, 'weather');
  const token = login.body.access_token;
  const ofKey = await apiKeyLogin(server.url, (await portal.newClient('API_KEY')).secret);
  const then = new Date().toISOString();
  expect((await portal.tokenStatus(token)).body).toMatchObject({ good: true, reason: 'OK' });

  const moved = await Standalone.startReady({ dataDir, env: { PUBLIC_URL: 'https://login.example.com' } });
  try {
    const movedPortal = new Portal(moved.url, portal.token);
    const statusOf = async (asked: string, at?: string) => (await movedPortal.tokenStatus(asked, at)).body;
    expect(await statusOf(token, then)).toMatchObject({ good: null, reason: 'ISSUER_NOT_RECORDED' });
    expect(await statusOf(token)).toMatchObject({ good: false, reason: 'OTHER_ISSUER' });
    expect(await statusOf(token, '2020-01-01T00:00:00Z')).toMatchObject({ good: false, reason: 'NOT_YET_VALID' });
    expect(await statusOf(ofKey.body.access_token, then)).toMatchObject({ good: true, reason: 'OK' });
    await portal.revoke(consumer.clientId);
    const revoked = new Date(Date.now() - 1).toISOString();
    expect(await statusOf(token, revoked)).toMatchObject({ good: false, reason: 'CLIENT_NOT_ACTIVE' });
  } finally {
    await moved.stop();
  }
});
