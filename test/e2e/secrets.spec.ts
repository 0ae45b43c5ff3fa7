import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayDouble, gatewaySecretOf } from '../support/api/gateway.js';
import { send } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin, postLogin } from '../support/api/login.js';
import { basicOf, clientOfKey, introspect, refresh, refreshTokenOf, revokeToken } from '../support/api/oauth.js';
import { Portal, secretOf } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const KEPT_IN_FILES_OF_THEIR_OWN = ['master.key', 'admin.token', 'gateway.secret'];

test('a secret is shown once and found nowhere afterwards: not on disk, in the log, in an answer or in a metric', async () => {
  const standalone = await Standalone.start({ env: { LOG_LEVEL: 'trace' } });
  const portal = Portal.of(standalone);
  const { url, dataDir } = standalone;
  await portal.register('weather-1', { endpointUri: 'weather' });

  const apiKey = await portal.newClient('API_KEY');
  const oauth = await portal.newClient('OAUTH2');
  const draft = (await portal.draft('OAUTH2')).body;
  await portal.create({ authenticationType: 'OAUTH2', draft: draft.draft });
  const rotated = secretOf((await portal.rotate(oauth.clientId, { overlapSeconds: 60 })).body.credential);
  const secrets = [apiKey.secret, oauth.secret, rotated, secretOf(draft)];
  const rawKeys = Buffer.from(apiKey.secret, 'base64').toString().split(':').slice(1);

  await portal.assign(oauth.clientId, 'weather-1');
  const client = { clientId: oauth.clientId, secret: rotated };
  const staticLogin = await apiKeyLogin(url, apiKey.secret);
  const login = await oauthLogin(url, client);
  const refreshed = await refresh(url, client, refreshTokenOf(login));
  const lastLogin = await oauthLogin(url, client, 'weather');
  const tokens = [staticLogin, login, refreshed, lastLogin].flatMap(({ body }) =>
    [body.access_token, body.refresh_token].filter((token) => token !== undefined),
  );
  expect(tokens).toHaveLength(7);
  const gatewaySecret = gatewaySecretOf(standalone);
  const caller = { authorization: `Bearer ${Portal.of(standalone, { scopes: ['tokens:introspect'] }).token}` };

  const answers = [
    // We send good and broken tokens, and tokens in places where tokens don't belong.
    await introspect(url, lastLogin.body.access_token, caller),
    await introspect(url, `${refreshTokenOf(lastLogin)}x`, basicOf(client)),
    await refresh(url, client, `${refreshTokenOf(lastLogin)}x`),
    await new GatewayDouble(standalone).check({ token: lastLogin.body.access_token, endpoint: 'weather' }),
    await new GatewayDouble(standalone).check({ token: `${lastLogin.body.access_token}x`, endpoint: 'weather' }),
    await send('GET', url, '/gateway/check', { headers: { 'x-gateway-secret': `${gatewaySecret}x`, ...caller } }),
    await send('GET', url, `/v1/clients?access_token=${login.body.access_token}`, { headers: caller }),
    await revokeToken(url, refreshTokenOf(lastLogin), basicOf(client)),
    await revokeToken(url, staticLogin.body.access_token, basicOf(clientOfKey(apiKey.secret))),
    // We send secrets in places where secrets don't belong.
    await postLogin(url, undefined, { body: { 'api-key': `${apiKey.secret}x` } }),
    await send('GET', url, `/v1/clients?name=${encodeURIComponent(oauth.secret)}`),
    await send('GET', url, '/v1/clients', { headers: { authorization: `Bearer ${oauth.secret}` } }),
    await send('GET', url, `/v1/clientz/${oauth.secret}`),
    await send('GET', url, `/${apiKey.secret}`),
    await send('GET', url, `/v1/clientz/${refreshTokenOf(lastLogin)}`),
    await send('GET', url, `/v1/clientz/${login.body.access_token}?token=${rotated}`),
    await postLogin(url, oauth.secret, { body: { 'api-key': apiKey.secret } }),
    await oauthLogin(url, { clientId: rotated, secret: oauth.secret }),
    await portal.create({ name: 'a', draft: `${draft.draft}x` }),
    await portal.send('POST', '/v1/clients', { body: { name: 'a', [oauth.secret.slice(0, 30)]: rotated } }),
    await portal.list({}, await portal.readNow()),
    await portal.get(oauth.clientId),
    await portal.history(oauth.clientId),
    await send('GET', url, '/metrics'),
    await send('GET', url, '/health/ready'),
  ];
  const { adminToken } = standalone;
  const masterKey = readFileSync(join(dataDir, 'master.key'), 'utf8').trim();
  const verifiers = verifiersIn(readFileSync(join(dataDir, 'event-log.db-wal')).toString('latin1'));
  expect(verifiers.length).toBeGreaterThan(0);
  await standalone.kill();

  const stores = readdirSync(dataDir).filter((name) => !KEPT_IN_FILES_OF_THEIR_OWN.includes(name));
  const onDisk = new Map(stores.map((name) => [name, readFileSync(join(dataDir, name)).toString('latin1')]));
  const told = new Map([
    ['the log lines', standalone.output()],
    ...answers.map(({ text, headers }, index) => [`answer ${index}`, text + JSON.stringify(headers)] as const),
  ]);
  const needles = [...secrets, ...rawKeys, draft.draft, ...tokens, adminToken, masterKey, gatewaySecret, portal.token];
  const found = (sought: readonly string[], places: ReadonlyMap<string, string>) =>
    [...places].flatMap(([place, text]) => sought.filter((needle) => text.includes(needle)).map(() => place));

  expect(found(needles, onDisk)).toEqual([]);
  expect(found(needles, told)).toEqual([]);
  // The event log may hold verifiers (Argon2id hashes of secrets). Everything else must not hold any verifier.
  const beyondTheLog = new Map([...told, ...[...onDisk].filter(([name]) => name.startsWith('read-models'))]);
  expect(found(verifiers, beyondTheLog)).toEqual([]);
  await standalone.stop();
});

const verifiersIn = (text: string): string[] => [...new Set(text.match(/\$argon2id\$[A-Za-z0-9+/=,$]{60,}/g) ?? [])];
