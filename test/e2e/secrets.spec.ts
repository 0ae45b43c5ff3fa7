import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { send } from '../support/http.js';
import { apiKeyLogin, oauthLogin, postLogin } from '../support/login.js';
import { Portal, secretOf } from '../support/portal.js';
import { Standalone } from '../support/standalone.js';

jest.setTimeout(60_000);

const KEPT_IN_FILES_OF_THEIR_OWN = ['master.key', 'admin.token'];

test('a secret is shown once, and then is nowhere: not on disk, in the log, in an answer or a metric', async () => {
  const standalone = await Standalone.start({ env: { LOG_LEVEL: 'trace' } });
  const portal = Portal.of(standalone);
  const { url, dataDir } = standalone;
  await portal.register('weather-1');

  const apiKey = await portal.newClient('API_KEY');
  const oauth = await portal.newClient('OAUTH2');
  const draft = (await portal.draft('OAUTH2')).body;
  await portal.create({ authenticationType: 'OAUTH2', draft: draft.draft });
  const rotated = secretOf((await portal.rotate(oauth.clientId, { overlapSeconds: 60 })).body.credential);
  const secrets = [apiKey.secret, oauth.secret, rotated, secretOf(draft)];
  const rawKeys = Buffer.from(apiKey.secret, 'base64').toString().split(':').slice(1);

  const answers = [
    await apiKeyLogin(url, apiKey.secret),
    await oauthLogin(url, { clientId: oauth.clientId, secret: rotated }),
    // Secrets where they don't belong.
    await postLogin(url, undefined, { body: { 'api-key': `${apiKey.secret}x` } }),
    await send('GET', url, `/v1/clients?name=${encodeURIComponent(oauth.secret)}`),
    await send('GET', url, '/v1/clients', { headers: { authorization: `Bearer ${oauth.secret}` } }),
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
    ...answers.map(({ text }, index) => [`answer ${index}`, text] as const),
  ]);
  const found = (needles: readonly string[], places: ReadonlyMap<string, string>) =>
    [...places].flatMap(([place, text]) => needles.filter((needle) => text.includes(needle)).map(() => place));

  const unknownField = new Set(['answer 6']); // names the field that the caller made up
  expect(found([...secrets, ...rawKeys, draft.draft, adminToken, masterKey], onDisk)).toEqual([]);
  expect(
    found([...secrets, ...rawKeys, draft.draft, adminToken, masterKey, portal.token], told).filter(
      (place) => !unknownField.has(place),
    ),
  ).toEqual([]);
  // A verifier stays in the event log.
  const beyondTheLog = new Map([...told, ...[...onDisk].filter(([name]) => name.startsWith('read-models'))]);
  expect(found(verifiers, beyondTheLog)).toEqual([]);
  await standalone.stop();
});

const verifiersIn = (text: string): string[] => [...new Set(text.match(/\$argon2id\$[A-Za-z0-9+/=,$]{60,}/g) ?? [])];
