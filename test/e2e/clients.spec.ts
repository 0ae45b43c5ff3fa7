import { decodeJwt } from 'jose';
import { type CredentialDraft, MasterKeys, openDraft, sealDraft } from '#credentials';
import { verifyChain } from '#events';
import { standaloneMasterKey } from '#stores';
import { type Answer, eventually } from '../support/api/http.js';
import { apiKeyLogin, oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { refresh, refreshTokenOf } from '../support/api/oauth.js';
import {
  type AuthenticationType,
  type ClientAnswer,
  Portal,
  type Query,
  readAfter,
  recordedEventOf,
  secretOf,
} from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

let server: Standalone;
let portal: Portal;

beforeAll(async () => {
  server = await Standalone.startReady();
  portal = Portal.of(server);
});

afterAll(() => server.stop());

/**
 * Reads the client with the command's consistency token. Expects exactly the same fields as in the command's answer.
 */
async function expectReadModelAgrees(command: Answer<ClientAnswer>): Promise<void> {
  const { client } = command.body;
  const read = await portal.get(client.clientId, readAfter(command));
  expect(read.body).toEqual(client);
  expect(Object.keys(read.body).sort()).toEqual(Object.keys(client).sort());
  expect(read.header('etag')).toBe(command.header('etag'));
  expect(command.header('etag')).toBe(`"${client.revision}"`);
}

/** The first four characters after `ccs_` of a shown secret or API key. */
function hintOf(shown: string): string | undefined {
  const secret = shown.startsWith('ccs_') ? shown : Buffer.from(shown, 'base64').toString();
  return /ccs_(.{4})/.exec(secret)?.[1];
}

describe.each<{
  type: AuthenticationType;
  shown: string;
  login: (id: string, secret: string) => Promise<{ status: number }>;
}>([
  { type: 'API_KEY', shown: 'apiKey', login: (_, apiKey) => apiKeyLogin(server.url, apiKey) },
  { type: 'OAUTH2', shown: 'clientSecret', login: (clientId, secret) => oauthLogin(server.url, { clientId, secret }) },
])('an $type client', ({ type, shown, login }) => {
  test('is created, shows its credential once, and logs in', async () => {
    const created = await portal.create({ name: '  Forecast importer ', authenticationType: type });
    expect(created.status).toBe(201);
    expect(created.header('cache-control')).toBe('no-store');
    const { client, credential } = created.body;
    expect(client).toEqual({
      clientId: expect.stringMatching(/^cc_[A-Za-z0-9]+$/) as unknown,
      workspaceId: 'acme',
      name: 'Forecast importer',
      labels: {},
      authenticationType: type,
      status: 'ACTIVE',
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as unknown,
      credentials: [{ generation: 1, createdAt: client.createdAt, hint: hintOf(secretOf(credential)) }],
      subscriptions: [],
      revision: 0,
    });
    expect(credential).toEqual({ clientId: client.clientId, generation: 1, [shown]: secretOf(credential) });
    await expectReadModelAgrees(created);
    expect(await login(client.clientId, secretOf(credential))).toMatchObject({ status: 200 });
  });

  test('is created from a draft that has shown the secret before, and the answer holds no secret', async () => {
    const minted = await portal.draft(type);
    expect(minted.status).toBe(201);
    expect(minted.header('cache-control')).toBe('no-store');
    const { draft, clientId, expiresAt } = minted.body;
    expect(Object.keys(minted.body).sort()).toEqual(
      [shown, 'authenticationType', 'clientId', 'draft', 'expiresAt'].sort(),
    );
    expect(Date.parse(expiresAt) - Date.now()).toBeLessThanOrEqual(3_600_000);
    expect(await login(clientId, secretOf(minted.body))).toMatchObject({ status: 401 });

    const created = await portal.create({ authenticationType: type, draft });
    expect(created.status).toBe(201);
    expect(Object.keys(created.body)).toEqual(['client']);
    expect(created.body.client.credentials).toMatchObject([{ hint: hintOf(secretOf(minted.body)) }]);
    expect(created.body.client.clientId).toBe(clientId);
    await expectReadModelAgrees(created);
    expect(await login(clientId, secretOf(minted.body))).toMatchObject({ status: 200 });

    expect((await portal.create({ authenticationType: type, draft })).refusal).toBe('409 DRAFT_STALE');
  });

  test('gets a new secret from a draft, once, and only for the generation that the draft was minted for', async () => {
    const { clientId, secret } = await portal.newClient(type);
    const first = (await portal.draft(type, clientId)).body;
    const second = (await portal.draft(type, clientId)).body;
    const rotated = await portal.rotate(clientId, { draft: second.draft });
    expect(rotated.status).toBe(200);
    expect(Object.keys(rotated.body)).toEqual(['client']);
    expect(rotated.body.client.credentials.map(({ generation }) => generation)).toEqual([2]);
    await expectReadModelAgrees(rotated);
    expect(await login(clientId, secretOf(second))).toMatchObject({ status: 200 });
    expect(await login(clientId, secret)).toMatchObject({ status: 401 });

    expect((await portal.rotate(clientId, { draft: second.draft })).refusal).toBe('409 DRAFT_STALE');
    const beforeTheRotation = await portal.rotate(clientId, { draft: first.draft });
    expect(beforeTheRotation.refusal).toBe('409 DRAFT_STALE');
    expect(beforeTheRotation.problem.errors?.map(({ field }) => field)).toEqual(['draft']);
    expect(await login(clientId, secretOf(first))).toMatchObject({ status: 401 });
  });
});

describe('a draft is good only for the purpose that it was minted for', () => {
  const masterKeys = () => MasterKeys.from({ current: standaloneMasterKey(server.dataDir), previous: [] });
  const altered = async (draft: string, change: Partial<CredentialDraft>) =>
    sealDraft({ ...(await openDraft(draft, masterKeys())), ...change }, masterKeys());

  const expectRefused = (answer: Answer<ClientAnswer>, refusal: string) => {
    expect(answer.refusal).toBe(refusal);
    expect(answer.problem.errors?.map(({ field }) => field)).toEqual(['draft']);
  };

  test('an expired draft is refused, for creation and rotation', async () => {
    const expiresAt = new Date(Date.now() - 1).toISOString();
    const { clientId } = await portal.newClient();
    const forNew = await altered((await portal.draft('OAUTH2')).body.draft, { expiresAt });
    const forOne = await altered((await portal.draft('OAUTH2', clientId)).body.draft, { expiresAt });
    expectRefused(await portal.create({ draft: forNew }), '400 DRAFT_EXPIRED');
    expectRefused(await portal.rotate(clientId, { draft: forOne }), '400 DRAFT_EXPIRED');
  });

  test('no other caller, workspace, type, purpose or client can use it', async () => {
    const { clientId } = await portal.newClient();
    const { clientId: another } = await portal.newClient();
    const forNew = (await portal.draft('OAUTH2')).body.draft;
    const forOne = (await portal.draft('OAUTH2', clientId)).body.draft;
    const colleague = Portal.of(server, { subject: 'another-backend' });
    const stranger = Portal.of(server, { workspaceId: 'globex' });
    expectRefused(await colleague.create({ draft: forNew }), '400 DRAFT_INVALID');
    expectRefused(await stranger.create({ draft: forNew }), '400 DRAFT_INVALID');
    expectRefused(await portal.create({ draft: forNew, authenticationType: 'API_KEY' }), '400 DRAFT_INVALID');
    expectRefused(await portal.create({ draft: forOne }), '400 DRAFT_INVALID');
    expectRefused(await portal.rotate(clientId, { draft: forNew }), '400 DRAFT_INVALID');
    expectRefused(await portal.rotate(another, { draft: forOne }), '400 DRAFT_INVALID');
    expectRefused(await colleague.rotate(clientId, { draft: forOne }), '400 DRAFT_INVALID');
    expect((await portal.create({ draft: forNew })).status).toBe(201);
    expect((await portal.rotate(clientId, { draft: forOne })).status).toBe(200);
  });

  test('a draft with any part tampered with is refused', async () => {
    const { draft } = (await portal.draft('OAUTH2')).body;
    const parts = draft.split('.');
    const flipped = parts.map((part, at) => {
      const changed = part === '' ? 'AA' : `${part.slice(0, 5)}${part[5] === 'A' ? 'B' : 'A'}${part.slice(6)}`;
      return parts.with(at, changed).join('.');
    });
    for (const tampered of [...flipped, `${draft}x`, 'draft', '', '....']) {
      expectRefused(await portal.create({ draft: tampered }), '400 DRAFT_INVALID');
    }
  });

  test('a draft for a rotation needs an active client of the caller’s workspace and of the draft’s type', async () => {
    const { clientId } = await portal.newClient('API_KEY');
    const stranger = Portal.of(server, { workspaceId: 'globex' });
    expect((await stranger.draft('API_KEY', clientId)).refusal).toBe('404 CLIENT_NOT_FOUND');
    expect((await portal.draft('OAUTH2', clientId)).refusal).toBe('409 WRONG_AUTHENTICATION_TYPE');
    await portal.revoke(clientId);
    expect((await portal.draft('API_KEY', clientId)).refusal).toBe('409 CLIENT_REVOKED');
  });
});

describe('names', () => {
  test('a client is renamed; renaming it to its current name changes nothing', async () => {
    const { clientId } = await portal.newClient();
    const renamed = await portal.rename(clientId, '  Wetter-Import (Köln) ☂ ');
    expect(renamed.status).toBe(200);
    expect(renamed.body.client).toMatchObject({ name: 'Wetter-Import (Köln) ☂', revision: 1 });
    await expectReadModelAgrees(renamed);
    const again = await portal.rename(clientId, 'Wetter-Import (Köln) ☂');
    expect(again.body.client.revision).toBe(1);
    expect(again.header('x-consistency-token')).toBe(renamed.header('x-consistency-token'));
  });

  test('they count characters, not bytes', async () => {
    const { clientId } = await portal.newClient();
    expect((await portal.rename(clientId, '🌦'.repeat(100))).status).toBe(200);
    expect((await portal.rename(clientId, '🌦'.repeat(101))).refusal).toBe('400 INVALID_NAME');
  });
});

describe('what a workspace says about its client', () => {
  const said = {
    description: 'Imports the hourly forecasts',
    labels: { team: 'planning', 'acme.example/stage': 'test' },
  };

  test('is shown in every answer, changed field by field, and kept after the revocation', async () => {
    const created = await portal.create({ ...said, description: ` ${said.description} ` });
    expect(created.body.client).toMatchObject(said);
    await expectReadModelAgrees(created);
    const { clientId } = created.body.client;

    const labels = { 'acme.example/stage': 'production', team: null, owner: 'Ada' };
    const changed = await portal.describe(clientId, { name: 'Importer', description: null, labels });
    const expected = { name: 'Importer', labels: { 'acme.example/stage': 'production', owner: 'Ada' } };
    expect(changed.body.client).toMatchObject({ ...expected, revision: 2 });
    expect(changed.body.client).not.toHaveProperty('description');
    await expectReadModelAgrees(changed);
    expect((await portal.describe(clientId, { labels: { owner: 'Ada' } })).body.client.revision).toBe(2);

    const revoked = await portal.revoke(clientId);
    expect(revoked.body.client).toMatchObject(expected);
    await expectReadModelAgrees(revoked);
    expect((await portal.describe(clientId, said)).refusal).toBe('409 CLIENT_REVOKED');
  });

  test.each<[string, Record<string, unknown>, string?]>([
    ['description', { description: '\u200b' }, 'INVALID_DESCRIPTION'],
    ['description', { description: 'x'.repeat(501) }, 'INVALID_DESCRIPTION'],
    ['description', { description: 7 }],
    ['labels', { labels: ['planning'] }],
    ['labels', { labels: { team: 7 } }],
    ['labels', { labels: { 'a b': 'x' } }, 'INVALID_LABELS'],
    ['labels.team', { labels: { team: '' } }, 'INVALID_LABELS'],
    ['labels', { labels: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`k${n}`, 'v'])) }, 'INVALID_LABELS'],
    ['externalId', { externalId: 'crm 4711' }, 'INVALID_EXTERNAL_ID'],
    ['externalId', { externalId: '' }, 'INVALID_EXTERNAL_ID'],
  ])('is refused for its %s: %j', async (field, wrong, code = 'VALIDATION_FAILED') => {
    const { clientId } = await portal.newClient();
    for (const answer of [await portal.create(wrong), await portal.describe(clientId, wrong)]) {
      expect(answer.refusal).toBe(`400 ${code}`);
      expect(answer.problem.errors?.map((error) => error.field)).toEqual([field]);
    }
  });

  test.each<[string, string, unknown]>([
    ['name', 'name must have 1 to 100 characters', 'x'.repeat(1001)],
    ['name', 'name must be a string', 7],
    ['description', 'description must have 1 to 500 characters', 'x'.repeat(5001)],
    ['description', 'description must be a string', { text: 'x' }],
    ['externalId', 'externalId must have 1 to 128 visible ASCII characters', 'x'.repeat(1281)],
    ['externalId', 'externalId must be a string', 4711],
    ['labels', 'labels must be an object, and its values texts', 'planning'],
    ['labels.constructor', 'is not an allowed name', { constructor: 'planning' }],
  ])('is refused for its %s with one sentence, which tells the true limit: %s', async (field, message, value) => {
    const refused = await portal.create({ [field.split('.')[0] ?? '']: value });
    expect(refused.refusal).toBe('400 VALIDATION_FAILED');
    expect(refused.problem.errors).toEqual([{ field, message }]);
  });

  test('a change names at least one field, and a name is never removed', async () => {
    const { clientId } = await portal.newClient();
    expect((await portal.describe(clientId, {})).refusal).toBe('400 VALIDATION_FAILED');
    expect((await portal.describe(clientId, { name: null })).refusal).toBe('400 VALIDATION_FAILED');
    expect((await portal.create({ labels: { team: null } })).refusal).toBe('400 VALIDATION_FAILED');
  });
});

describe('an external id', () => {
  const taken = '409 EXTERNAL_ID_TAKEN';

  test('belongs to one active client of a workspace, and is free when that one is revoked', async () => {
    const first = await portal.create({ externalId: 'crm:1' });
    expect(first.body.client.externalId).toBe('crm:1');
    await expectReadModelAgrees(first);
    const conflict = await portal.create({ externalId: 'crm:1' });
    expect(conflict.refusal).toBe(taken);
    expect(conflict.problem.errors?.map(({ field }) => field)).toEqual(['externalId']);
    const other = await portal.newClient();
    expect((await portal.describe(other.clientId, { externalId: 'crm:1' })).refusal).toBe(taken);
    expect((await portal.describe(first.body.client.clientId, { externalId: 'crm:1' })).status).toBe(200);
    const stranger = Portal.of(server, { workspaceId: 'globex' });
    expect((await stranger.create({ externalId: 'crm:1' })).status).toBe(201);

    await portal.revoke(first.body.client.clientId);
    const second = await portal.describe(other.clientId, { externalId: 'crm:1' });
    expect(second.body.client.externalId).toBe('crm:1');
    await expectReadModelAgrees(second);
    expect((await portal.create({ externalId: 'crm:1' })).refusal).toBe(taken);
  });

  test('that was given up can be had a minute after it was claimed, and the refusal says so', async () => {
    const former = (await portal.create({ externalId: 'crm:given-up' })).body.client;
    const held = await portal.create({ externalId: 'crm:given-up' });
    expect(held.refusal).toBe(taken);
    expect(held.headers).not.toHaveProperty('retry-after');
    await portal.describe(former.clientId, { externalId: null });
    const early = await portal.create({ externalId: 'crm:given-up' });
    expect(early.refusal).toBe(taken);
    expect(early.problem.errors?.map(({ field }) => field)).toEqual(['externalId']);
    expect(early.problem.detail).not.toBe(held.problem.detail);
    expect(Number(early.header('retry-after'))).toBeGreaterThan(30);
    expect(Number(early.header('retry-after'))).toBeLessThanOrEqual(60);
    expect((await portal.describe(former.clientId, { externalId: 'crm:given-up' })).status).toBe(200);
  });

  test('is given to one of many that ask at once', async () => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => portal.newClient()));
    const answers = await Promise.all([
      ...clients.map(({ clientId }) => portal.describe(clientId, { externalId: 'crm:race' })),
      ...Array.from({ length: 4 }, () => portal.create({ externalId: 'crm:race' })),
    ]);
    const [winner, ...more] = answers.filter(({ status }) => status < 300);
    expect(more).toEqual([]);
    expect(answers.filter((answer) => answer !== winner).map(({ refusal }) => refusal)).toEqual(Array(7).fill(taken));
  });

  test('of a creation stays with it when the request is repeated, also after its release', async () => {
    const key = { 'idempotency-key': 'creates-crm:2' };
    const created = await portal.create({ externalId: 'crm:2' }, key);
    const { clientId } = created.body.client;
    expect((await portal.create({ externalId: 'crm:2' }, key)).body.client).toEqual(created.body.client);
    await portal.describe(clientId, { externalId: null });
    await portal.describe(clientId, { externalId: 'crm:2' });
    await portal.revoke(clientId);
    const successor = await portal.create({ externalId: 'crm:2' });
    expect(successor.status).toBe(201);
    expect((await portal.create({ externalId: 'crm:2' }, key)).body.client).toEqual(created.body.client);
  });

  test('is not claimed by a command that is refused', async () => {
    const { clientId } = await portal.newClient();
    const stale = { 'if-match': '"7"' };
    expect((await portal.describe(clientId, { externalId: 'crm:3' }, stale)).refusal).toBe('412 PRECONDITION_FAILED');
    expect((await portal.create({ externalId: 'crm:3', name: '' })).refusal).toBe('400 INVALID_NAME');
    expect((await portal.create({ externalId: 'crm:3', subscriptions: ['nowhere'] })).refusal).toBe(
      '404 SUBSCRIPTION_NOT_FOUND',
    );
    const { draft } = (await portal.draft('OAUTH2')).body;
    expect((await portal.create({ draft, externalId: 'crm:3' })).body.client.externalId).toBe('crm:3');
  });
});

describe('the expiry of a secret', () => {
  const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

  test.each(['API_KEY', 'OAUTH2'] as const)(
    'is part of creation and rotation, with and without a draft: %s',
    async (type) => {
      const expiresAt = inSeconds(3600);
      const created = await portal.create({ authenticationType: type, expiresAt: expiresAt.replace('Z', '+00:00') });
      expect(created.body.client.credentials).toMatchObject([{ generation: 1, expiresAt }]);
      await expectReadModelAgrees(created);
      const { clientId } = created.body.client;
      const { draft } = (await portal.draft(type, clientId)).body;
      const later = inSeconds(86_400);
      const rotated = await portal.rotate(clientId, { draft, expiresAt: later });
      expect(rotated.body.client.credentials).toMatchObject([{ generation: 2, expiresAt: later }]);
      expect((await portal.previewRotation(clientId, { overlapSeconds: 172_800 })).body.previousExpiresAt).toBe(later);
      const forever = await portal.rotate(clientId);
      expect(forever.body.client.credentials[0]).not.toHaveProperty('expiresAt');
      await expectReadModelAgrees(forever);
    },
  );

  test('is the last moment of each token that comes from it, and so is the end of an overlap', async () => {
    const expiresAt = inSeconds(120);
    const end = Math.floor(Date.parse(expiresAt) / 1000);
    const [keyed, oauth] = await Promise.all(
      (['API_KEY', 'OAUTH2'] as const).map(async (authenticationType) => {
        const { client, credential } = (await portal.create({ authenticationType, expiresAt })).body;
        return { clientId: client.clientId, secret: secretOf(credential) };
      }),
    );
    if (!keyed || !oauth) throw new Error('There are no clients');
    const fixed = (await apiKeyLogin(server.url, keyed.secret)).body;
    expect(decodeJwt(fixed.access_token).exp).toBe(end);
    expect(fixed.expires_in).toBeLessThanOrEqual(120);
    const pair = await oauthLogin(server.url, oauth);
    for (const { body } of [pair, await refresh(server.url, oauth, refreshTokenOf(pair))]) {
      expect(decodeJwt(body.access_token).exp).toBe(end);
      expect(body.expires_in).toBeLessThanOrEqual(120);
      expect(body.refresh_token_expires_in).toBeLessThanOrEqual(120);
    }
    await portal.rotate(keyed.clientId, { overlapSeconds: 60 });
    expect((await apiKeyLogin(server.url, keyed.secret)).body.access_token).toBe(fixed.access_token);
    const { credentials } = (await portal.rotate(oauth.clientId, { overlapSeconds: 60 })).body.client;
    const overlapping = (await oauthLogin(server.url, oauth)).body;
    expect(decodeJwt(overlapping.access_token).exp).toBe(
      Math.floor(Date.parse(credentials[0]?.expiresAt ?? '') / 1000),
    );
    expect(overlapping.refresh_token_expires_in).toBeLessThanOrEqual(60);
  });

  test.each<[string, unknown]>([
    ['VALIDATION_FAILED', '2027-02-30T00:00:00Z'],
    ['VALIDATION_FAILED', '2027-02-28'],
    ['VALIDATION_FAILED', '2027-02-28T00:00:00'],
    ['VALIDATION_FAILED', 1_900_000_000],
    ['VALIDATION_FAILED', null],
    ['INVALID_EXPIRY', inSeconds(-1)],
    ['VALIDATION_FAILED', '0000-01-01T00:00:00+05:00'],
    ['INVALID_EXPIRY', inSeconds(315_460_000)],
    ['VALIDATION_FAILED', '9999-12-31T23:59:59-05:00'],
  ])('is refused with %s: %j', async (code, expiresAt) => {
    const { clientId } = await portal.newClient();
    const body = { expiresAt } as { expiresAt: string };
    for (const answer of [
      await portal.create(body),
      await portal.rotate(clientId, body),
      await portal.previewRotation(clientId, body),
    ]) {
      expect(answer.refusal).toBe(`400 ${code}`);
      expect(answer.problem.errors?.map(({ field }) => field)).toEqual(['expiresAt']);
    }
  });
});

describe('rotation', () => {
  test('ends the former generation at once, unless the request asks for an overlap', async () => {
    const { clientId, secret } = await portal.newClient('API_KEY');
    const overlapping = await portal.rotate(clientId, { overlapSeconds: 3600 });
    const second = secretOf(overlapping.body.credential);
    const { credentials } = overlapping.body.client;
    expect(credentials.map(({ generation }) => generation)).toEqual([1, 2]);
    const [former, newest] = credentials;
    expect(Date.parse(former?.expiresAt ?? '') - Date.parse(newest?.createdAt ?? '')).toBe(3_600_000);
    expect(newest).not.toHaveProperty('expiresAt');
    await expectReadModelAgrees(overlapping);
    expect((await apiKeyLogin(server.url, secret)).status).toBe(200);
    expect((await apiKeyLogin(server.url, second)).status).toBe(200);

    const third = await portal.rotate(clientId);
    expect(third.body.client.credentials.map(({ generation }) => generation)).toEqual([3]);
    await expectReadModelAgrees(third);
    expect((await apiKeyLogin(server.url, secret)).status).toBe(401);
    expect((await apiKeyLogin(server.url, second)).status).toBe(401);
    expect((await apiKeyLogin(server.url, secretOf(third.body.credential))).status).toBe(200);
  });

  test('keeps at most two generations valid: another rotation ends the older overlap', async () => {
    const { clientId, secret } = await portal.newClient('API_KEY');
    await portal.rotate(clientId, { overlapSeconds: 604_800 });
    const third = await portal.rotate(clientId, { overlapSeconds: 604_800 });
    expect(third.body.client.credentials.map(({ generation }) => generation)).toEqual([2, 3]);
    await expectReadModelAgrees(third);
    expect((await apiKeyLogin(server.url, secret)).status).toBe(401);
  });

  test('an overlap can be retired early, the newest generation never', async () => {
    const { clientId, secret } = await portal.newClient('API_KEY');
    await portal.rotate(clientId, { overlapSeconds: 3600 });
    const retired = await portal.retire(clientId, 1);
    expect(retired.status).toBe(200);
    expect(retired.body.client.credentials.map(({ generation }) => generation)).toEqual([2]);
    await expectReadModelAgrees(retired);
    expect((await apiKeyLogin(server.url, secret)).status).toBe(401);
    expect((await portal.retire(clientId, 1)).body.client.revision).toBe(retired.body.client.revision);
    expect((await portal.retire(clientId, 2)).refusal).toBe('409 GENERATION_IS_NEWEST');
    expect((await portal.retire(clientId, 3)).refusal).toBe('404 GENERATION_NOT_FOUND');
  });

  test('overlaps are 0 to 604800 whole seconds', async () => {
    const { clientId } = await portal.newClient();
    for (const overlapSeconds of [-1, 604_801, 1.5, 1e300]) {
      const refused = await portal.rotate(clientId, { overlapSeconds });
      expect(refused.refusal).toBe('400 VALIDATION_FAILED');
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['overlapSeconds']);
    }
    expect((await portal.get(clientId, await portal.readNow())).body.revision).toBe(0);
  });
});

describe('a dry run of a rotation', () => {
  test('shows which secrets would stop being good, and changes nothing', async () => {
    const { clientId, secret } = await portal.newClient('API_KEY');
    expect((await portal.previewRotation(clientId)).body).toEqual({ generation: 2, wouldInvalidate: [1] });
    const overlap = (await portal.previewRotation(clientId, { overlapSeconds: 60 })).body;
    expect(overlap).toMatchObject({ generation: 2, wouldInvalidate: [] });
    expect(overlap.previousExpiresAt).toMatch(/Z$/);
    const rotated = await portal.rotate(clientId, { overlapSeconds: 60 });
    expect((await portal.previewRotation(clientId, { overlapSeconds: 60 })).body).toMatchObject({
      generation: 3,
      wouldInvalidate: [1],
    });
    expect((await portal.previewRotation(clientId)).body).toEqual({ generation: 3, wouldInvalidate: [1, 2] });
    expect((await portal.get(clientId, readAfter(rotated))).body).toEqual(rotated.body.client);
    expect((await apiKeyLogin(server.url, secret)).status).toBe(200);
  });

  test('has an ETag: a rotation that names it has the effect that was shown, or none', async () => {
    const { clientId } = await portal.newClient();
    const shown = await portal.previewRotation(clientId);
    const ifMatch = { 'if-match': shown.header('etag') };
    expect((await portal.rename(clientId, 'Renamed meanwhile')).status).toBe(200);
    expect((await portal.previewRotation(clientId, {}, ifMatch)).refusal).toBe('412 PRECONDITION_FAILED');
    expect((await portal.rotate(clientId, {}, ifMatch)).refusal).toBe('412 PRECONDITION_FAILED');
    const shownAgain = { 'if-match': (await portal.previewRotation(clientId)).header('etag') };
    expect((await portal.previewRotation(clientId, {}, shownAgain)).status).toBe(200);
    expect((await portal.rotate(clientId, {}, shownAgain)).status).toBe(200);
  });

  test('is refused when the rotation would be, and spends no draft', async () => {
    const { clientId } = await portal.newClient();
    const { draft } = (await portal.draft('OAUTH2', clientId)).body;
    expect((await portal.previewRotation(clientId, { draft })).body).toEqual({ generation: 2, wouldInvalidate: [1] });
    expect((await portal.rotate(clientId, { draft })).status).toBe(200);
    expect((await portal.previewRotation(clientId, { draft })).refusal).toBe('409 DRAFT_STALE');
    const neither = await portal.send('POST', `/v1/clients/${clientId}/rotate?dryRun=perhaps`, { body: {} });
    expect(neither.problem.errors?.map(({ field }) => field)).toEqual(['dryRun']);
    await portal.revoke(clientId);
    const refusal = (await portal.rotate(clientId)).refusal;
    expect((await portal.previewRotation(clientId)).refusal).toBe(refusal);
  });
});

describe('assignments', () => {
  test('a client is assigned to subscriptions and unassigned; a repetition changes nothing', async () => {
    await portal.register('sub_tides', { endpointUri: 'tides', serviceName: 'Tides' });
    await portal.register('sub_pollen', { endpointUri: 'pollen', serviceName: 'Pollen' });
    const { clientId } = await portal.newClient();
    await portal.assign(clientId, 'sub_tides');
    const assigned = await portal.assign(clientId, 'sub_pollen');
    expect(assigned.status).toBe(200);
    expect(assigned.body.client.subscriptions).toMatchObject([
      { subscriptionId: 'sub_tides', endpointUri: 'tides', serviceName: 'Tides' },
      { subscriptionId: 'sub_pollen', endpointUri: 'pollen', serviceName: 'Pollen' },
    ]);
    await expectReadModelAgrees(assigned);
    expect((await portal.assign(clientId, 'sub_pollen')).body.client.revision).toBe(2);

    const unassigned = await portal.unassign(clientId, 'sub_tides');
    expect(unassigned.body.client.subscriptions.map(({ subscriptionId }) => subscriptionId)).toEqual(['sub_pollen']);
    await expectReadModelAgrees(unassigned);
    expect((await portal.unassign(clientId, 'sub_tides')).body.client.revision).toBe(3);
  });

  test('only to a live subscription of the same workspace', async () => {
    const { clientId } = await portal.newClient();
    await Portal.of(server, { workspaceId: 'globex' }).register('sub_of_globex');
    await portal.register('sub_that_ended');
    await portal.end('sub_that_ended');
    expect((await portal.assign(clientId, 'sub_of_nobody')).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    expect((await portal.assign(clientId, 'sub_of_globex')).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    expect((await portal.assign(clientId, 'sub_that_ended')).refusal).toBe('409 SUBSCRIPTION_ENDED');
    expect((await portal.get(clientId, await portal.readNow())).body.revision).toBe(0);
  });
});

describe('a client that is created with subscriptions', () => {
  test('is assigned to all of them in the same step', async () => {
    await Promise.all(['sub_first', 'sub_second'].map((id) => portal.register(id)));
    const key = { 'idempotency-key': 'creates-and-assigns' };
    const body = { subscriptions: ['sub_first', 'sub_second'] };
    const created = await portal.create(body, key);
    expect(created.body.client).toMatchObject({
      revision: 2,
      subscriptions: [{ subscriptionId: 'sub_first' }, { subscriptionId: 'sub_second', endpointUri: 'sub-second' }],
    });
    await expectReadModelAgrees(created);
    const client = { clientId: created.body.client.clientId, secret: secretOf(created.body.credential) };
    for (const endpoint of ['sub-first', 'sub-second']) {
      expect((await oauthLogin(server.url, client, endpoint)).status).toBe(200);
    }
    expect((await portal.create(body, key)).body.client).toEqual(created.body.client);
    await portal.end('sub_first');
    const left = await eventually(
      () => portal.get(client.clientId),
      ({ body }) => body.subscriptions.length === 1,
    );
    expect(left.body.subscriptions).toMatchObject([{ subscriptionId: 'sub_second' }]);
  });

  test('is not created if one of them cannot be had', async () => {
    await Promise.all(['sub_live', 'sub_over'].map((id) => portal.register(id)));
    await portal.end('sub_over');
    const stranger = Portal.of(server, { workspaceId: 'globex' });
    await stranger.register('sub_strange');
    const before = (await portal.list({ limit: 200 }, await portal.readNow())).body.items.length;
    for (const [refusal, field, subscriptions] of [
      ['409 SUBSCRIPTION_ENDED', 'subscriptions[1]', ['sub_live', 'sub_over']],
      ['404 SUBSCRIPTION_NOT_FOUND', 'subscriptions[0]', ['sub_strange', 'sub_live']],
      ['404 SUBSCRIPTION_NOT_FOUND', 'subscriptions[1]', ['sub_live', 'sub_never']],
      ['400 VALIDATION_FAILED', 'subscriptions', ['sub_live', 'sub_live']],
      ['400 VALIDATION_FAILED', 'subscriptions', ['sub live']],
      ['400 VALIDATION_FAILED', 'subscriptions', Array.from({ length: 51 }, (_, n) => `sub_${n}`)],
    ] as const) {
      const answer = await portal.create({ subscriptions });
      expect(answer.refusal).toBe(refusal);
      expect(answer.problem.errors?.map((error) => error.field)).toEqual([field]);
    }
    expect((await portal.list({ limit: 200 }, await portal.readNow())).body.items).toHaveLength(before);
  });
});

describe('revocation', () => {
  test('a dry run lists what a revocation would end, and ends nothing', async () => {
    await portal.register('sub_preview');
    const { clientId, secret } = await portal.newClient('API_KEY');
    const { body } = await portal.assign(clientId, 'sub_preview');
    const rotated = await portal.rotate(clientId, { overlapSeconds: 60 });
    const preview = await portal.previewRevocation(clientId);
    expect(preview.status).toBe(200);
    expect(preview.body).toEqual({ wouldLeave: body.client.subscriptions, wouldInvalidate: [1, 2] });
    expect((await portal.previewRevocation(clientId, { reason: 'soon' })).body).toEqual(preview.body);
    expect(preview.header('etag')).toBe(rotated.header('etag'));
    expect((await portal.get(clientId, readAfter(rotated))).body).toEqual(rotated.body.client);
    expect((await apiKeyLogin(server.url, secret)).status).toBe(200);

    await portal.revoke(clientId);
    expect((await portal.previewRevocation(clientId)).body).toEqual({ wouldLeave: [], wouldInvalidate: [] });
  });

  test('needs a reason, unless it is a dry run', async () => {
    const { clientId } = await portal.newClient();
    for (const body of [{}, { reason: '' }, { reason: '  ' }, { reason: 'x'.repeat(501) }, undefined]) {
      const refused = await portal.send('POST', `/v1/clients/${clientId}/revoke`, { body });
      expect(refused.status).toBe(400);
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['reason']);
      if (body?.reason === undefined) continue;
      expect((await portal.previewRevocation(clientId, body)).refusal).toBe(refused.refusal);
    }
    const stale = { 'if-match': '"7"' };
    expect((await portal.previewRevocation(clientId, {}, stale)).refusal).toBe('412 PRECONDITION_FAILED');
    const neither = await portal.send('POST', `/v1/clients/${clientId}/revoke?dryRun=perhaps`, {
      body: { reason: 'x' },
    });
    expect(neither.problem.errors?.map(({ field }) => field)).toEqual(['dryRun']);
    expect((await portal.get(clientId, await portal.readNow())).body.status).toBe('ACTIVE');
  });

  test('is for ever: no later command is accepted, and logins are refused from its acknowledgement on', async () => {
    await portal.register('sub_left');
    const { clientId, secret } = await portal.newClient();
    await portal.assign(clientId, 'sub_left');
    const { draft } = (await portal.draft('OAUTH2', clientId)).body;
    expect((await oauthLogin(server.url, { clientId, secret }, 'sub-left')).status).toBe(200);
    const revoked = await portal.revoke(clientId, ' Leaked on a public page ');
    expect(oauthErrorOf(await oauthLogin(server.url, { clientId, secret }))).toMatchObject({ status: 401 });
    expect(revoked.body.client).toMatchObject({
      status: 'REVOKED',
      revocationReason: 'Leaked on a public page',
      credentials: [],
      subscriptions: [],
      revision: 2,
    });
    await expectReadModelAgrees(revoked);

    expect((await portal.rename(clientId, 'Phoenix')).refusal).toBe('409 CLIENT_REVOKED');
    expect((await portal.rotate(clientId)).refusal).toBe('409 CLIENT_REVOKED');
    expect((await portal.rotate(clientId, { draft })).refusal).toBe('409 CLIENT_REVOKED');
    expect((await portal.retire(clientId, 1)).refusal).toBe('409 CLIENT_REVOKED');
    expect((await portal.assign(clientId, 'sub_left')).refusal).toBe('409 CLIENT_REVOKED');
    expect((await portal.unassign(clientId, 'sub_left')).body.client).toEqual(revoked.body.client);
    expect((await portal.revoke(clientId, 'Again')).body.client).toEqual(revoked.body.client);
    expect((await portal.wholeHistory(clientId, readAfter(revoked))).at(-1)?.type).toBe('ConsumerClientRevoked');
  });
});

describe('lists', () => {
  const hub = () => Portal.of(server, { workspaceId: 'hub' });
  const names = (items: readonly { name: string }[]) => items.map(({ name }) => name);

  beforeAll(async () => {
    const portal = hub();
    await portal.register('sub_shared');
    for (const [at, name] of ['delta', 'Alpha', 'Ämter', 'bravo 1', 'BRAVO 2', 'charlie', 'ﬁeld'].entries()) {
      const { clientId } = await portal.newClient(at % 2 === 0 ? 'OAUTH2' : 'API_KEY', name);
      if (at < 3) await portal.assign(clientId, 'sub_shared');
    }
    const gone = await portal.newClient('OAUTH2', 'bravo 0');
    await portal.assign(gone.clientId, 'sub_shared');
    const revoked = await portal.revoke(gone.clientId);
    const seen = await portal.list({ status: 'revoked' }, readAfter(revoked));
    expect(names(seen.body.items)).toEqual(['bravo 0']);
  });

  test('a client is in exactly one of the two tables', async () => {
    expect(names((await hub().list()).body.items)).toEqual([
      'delta', 'Alpha', 'Ämter', 'bravo 1', 'BRAVO 2', 'charlie', 'ﬁeld',
    ]); // prettier-ignore
    expect(names((await hub().list({ status: 'active' })).body.items)).not.toContain('bravo 0');
    const [revoked] = (await hub().list({ status: 'revoked', sort: 'revokedAt', order: 'desc' })).body.items;
    expect(revoked).toMatchObject({ name: 'bravo 0', status: 'REVOKED', revocationReason: 'The importer was retired' });
    expect(revoked).toHaveProperty('revokedAt');
  });

  test('both tables make one list, in which each client is once, also if it is revoked between two pages', async () => {
    const archive = Portal.of(server, { workspaceId: 'archive' });
    const clients = [];
    for (const name of ['five', 'four', 'one', 'three', 'two']) clients.push(await archive.newClient('OAUTH2', name));
    const [five, four, one, three] = clients.map(({ clientId }) => clientId) as [string, string, string, string];
    await archive.revoke(four);
    const all = async (query = {}, headers = {}) => (await archive.list({ status: 'all', ...query }, headers)).body;
    const now = await archive.readNow();
    expect(names((await all({}, now)).items)).toEqual(['five', 'four', 'one', 'three', 'two']);
    const byName = { sort: 'name', order: 'desc' };
    expect(names((await all(byName)).items)).toEqual(['two', 'three', 'one', 'four', 'five']);
    expect(names((await all({ name: 'f' })).items)).toEqual(['five', 'four']);
    expect(names((await all({ authenticationType: 'API_KEY' })).items)).toEqual([]);

    const first = await all({ limit: 2 });
    await archive.revoke(five);
    await archive.revoke(one);
    const second = await all({ limit: 2, cursor: first.nextCursor }, await archive.readNow());
    await archive.revoke(three);
    const third = await all({ limit: 2, cursor: second.nextCursor }, await archive.readNow());
    expect([first, second, third].map(({ items }) => names(items))).toEqual([
      ['five', 'four'],
      ['one', 'three'],
      ['two'],
    ]);
    expect(second.items.map(({ status }) => status)).toEqual(['REVOKED', 'ACTIVE']);
    expect(third).not.toHaveProperty('nextCursor');
    expect((await archive.list({ status: 'all', sort: 'revokedAt' })).refusal).toBe('400 VALIDATION_FAILED');
    expect((await archive.list({ status: 'revoked', cursor: first.nextCursor ?? '' })).refusal).toBe(
      '400 INVALID_CURSOR',
    );
  });

  test('are filtered by type, sorted both ways, and searched by the beginning of the name', async () => {
    const sorted = ['Alpha', 'Ämter', 'bravo 1', 'BRAVO 2', 'charlie', 'delta', 'ﬁeld'];
    expect(names((await hub().list({ sort: 'name' })).body.items)).toEqual(sorted);
    expect(names((await hub().list({ sort: 'name', order: 'desc' })).body.items)).toEqual(sorted.toReversed());
    expect(names((await hub().list({ sort: 'createdAt', order: 'desc', limit: 1 })).body.items)).toEqual(['ﬁeld']);
    expect(names((await hub().list({ authenticationType: 'API_KEY' })).body.items)).toEqual([
      'Alpha',
      'bravo 1',
      'charlie',
    ]);
    expect(names((await hub().list({ name: '  BrAvO ' })).body.items)).toEqual(['bravo 1', 'BRAVO 2']);
    expect(names((await hub().list({ name: 'fi' })).body.items)).toEqual(['ﬁeld']);
    expect(names((await hub().list({ name: 'AMT' })).body.items)).toEqual(['Ämter']);
    expect(names((await hub().list({ name: 'bravo', status: 'revoked' })).body.items)).toEqual(['bravo 0']);
    expect(names((await hub().list({ name: 'bravo', authenticationType: 'API_KEY' })).body.items)).toEqual(['bravo 1']);
    expect(names((await hub().list({ name: '%' })).body.items)).toEqual([]);
  });

  test('are filtered by external id and by label, beside the filters that go together with them', async () => {
    const crm = Portal.of(server, { workspaceId: 'crm' });
    const make = (name: string, more: object) =>
      crm.send<ClientAnswer>('POST', '/v1/clients', { body: { name, authenticationType: 'OAUTH2', ...more } });
    const first = await make('first', { externalId: 'crm-1', labels: { team: 'planning', 'acme/stage': 'a:b' } });
    await make('second', { externalId: 'crm-2', labels: { team: 'planning' } });
    await make('third', { labels: { team: 'planning 2' } });
    await crm.revoke(first.body.client.clientId);
    await make('fourth', { externalId: 'crm-1' });
    const now = await crm.readNow();
    const found = async (query: Query) => names((await crm.list(query, now)).body.items);
    expect(await found({ externalId: 'crm-1' })).toEqual(['fourth']);
    expect(await found({ externalId: 'crm-1', status: 'all', order: 'desc' })).toEqual(['fourth', 'first']);
    expect(await found({ externalId: 'crm' })).toEqual([]);
    expect(await found({ label: 'team:planning' })).toEqual(['second']);
    expect(await found({ label: 'team:planning', status: 'all', sort: 'name' })).toEqual(['first', 'second']);
    expect(await found({ label: 'acme/stage:a:b', status: 'revoked', name: 'fi' })).toEqual(['first']);
    expect(await found({ label: 'team:planning 2', nameContains: 'ir' })).toEqual(['third']);
    const { clientId } = (await crm.list({ externalId: 'crm-2' }, now)).body.items[0] ?? { clientId: '' };
    await crm.send('PATCH', `/v1/clients/${clientId}`, { body: { externalId: null, labels: { team: null } } });
    const after = await crm.readNow();
    expect((await crm.list({ externalId: 'crm-2' }, after)).body.items).toEqual([]);
    expect((await crm.list({ label: 'team:planning' }, after)).body.items).toEqual([]);
    for (const refused of [
      { externalId: 'crm-1', name: 'a' },
      { externalId: 'crm-1', label: 'team:planning' },
      { externalId: 'crm-1', sort: 'name' },
      { externalId: '' },
      { label: 'team' },
      { label: 'team:planning', subscriptionId: 'sub_shared' },
    ]) {
      expect((await crm.list(refused)).refusal).toBe('400 VALIDATION_FAILED');
    }
  });

  test('are searched by a text inside the name, whatever its case and accents', async () => {
    const found = async (query: Query) => names((await hub().list(query)).body.items);
    expect(await found({ nameContains: 'RA' })).toEqual(['bravo 1', 'BRAVO 2']);
    expect(await found({ nameContains: 'avo 2' })).toEqual(['BRAVO 2']);
    expect(await found({ nameContains: 'l' })).toEqual(['Alpha', 'charlie', 'delta', 'ﬁeld']);
    expect(await found({ nameContains: 'l', order: 'desc', limit: 1 })).toEqual(['ﬁeld']);
    expect(await found({ nameContains: 'IEL' })).toEqual(['ﬁeld']);
    expect(await found({ nameContains: 'ämt' })).toEqual(['Ämter']);
    expect(await found({ nameContains: '.*' })).toEqual([]);
    expect(await found({ nameContains: 'ra', status: 'all' })).toEqual(['bravo 0', 'bravo 1', 'BRAVO 2']);
    expect(await found({ nameContains: 'ra', authenticationType: 'API_KEY' })).toEqual(['bravo 1']);
    expect(await found({ nameContains: 'l', subscriptionId: 'sub_shared' })).toEqual(['Alpha', 'delta']);
    const walked = await hub().walk((cursor) => hub().list({ nameContains: 'a', limit: 1, ...cursor }));
    expect(names(walked)).toEqual(['Alpha', 'Ämter', 'bravo 1', 'BRAVO 2', 'charlie', 'delta']);
    for (const other of [{ name: 'a' }, { sort: 'createdAt' }, { nameContains: 'x'.repeat(101) }]) {
      expect((await hub().list({ nameContains: 'a', ...other })).refusal).toBe('400 VALIDATION_FAILED');
    }
  });

  test('are walked by cursors, each client once, with any page size', async () => {
    const whole = (await hub().list({ sort: 'name' })).body.items;
    for (const limit of [1, 2, 3, 7, 200]) {
      const walked = await hub().walk((cursor) => hub().list({ sort: 'name', limit, ...cursor }));
      expect(walked).toEqual(whole);
    }
    const backwards = await hub().walk((cursor) => hub().list({ sort: 'name', order: 'desc', limit: 2, ...cursor }));
    expect(backwards).toEqual(whole.toReversed());
  });

  test('a cursor is good only for the list that issued it', async () => {
    const { nextCursor = '' } = (await hub().list({ sort: 'name', limit: 2 })).body;
    for (const query of [{ sort: 'createdAt' }, { sort: 'name', order: 'desc' }, { sort: 'name', status: 'revoked' }]) {
      const refused = await hub().list({ ...query, cursor: nextCursor });
      expect(refused.refusal).toBe('400 INVALID_CURSOR');
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['cursor']);
    }
    expect((await portal.list({ sort: 'name', cursor: nextCursor })).refusal).toBe('400 INVALID_CURSOR');
  });

  test('filters that do not go together and page sizes out of range are refused', async () => {
    expect((await hub().list({ name: 'a', sort: 'createdAt' })).refusal).toBe('400 VALIDATION_FAILED');
    expect((await hub().list({ sort: 'revokedAt' })).refusal).toBe('400 VALIDATION_FAILED');
    for (const limit of [0, 201, -1, 1.5]) {
      expect((await hub().list({ limit })).problem.errors?.map(({ field }) => field)).toEqual(['limit']);
    }
  });

  test('the users of a subscription are the active clients that are assigned to it, by pages', async () => {
    const users = await hub().clientsOf('sub_shared');
    expect(names(users.body.items)).toEqual(['delta', 'Alpha', 'Ämter']);
    const walked = await hub().walk((cursor) => hub().clientsOf('sub_shared', { limit: 1, ...cursor }));
    expect(walked).toEqual(users.body.items);
    expect((await hub().clientsOf('sub_of_nobody')).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
  });

  test('the list of clients takes a subscription beside its other filters and sorts', async () => {
    const listed = async (query = {}) =>
      names((await hub().list({ subscriptionId: 'sub_shared', ...query })).body.items);
    expect(await listed()).toEqual(['delta', 'Alpha', 'Ämter']);
    expect(await listed({ sort: 'name', order: 'desc' })).toEqual((await listed({ sort: 'name' })).toReversed());
    expect(await listed({ name: 'alp' })).toEqual(['Alpha']);
    expect(await listed({ status: 'revoked' })).toEqual([]);
    expect((await hub().list({ subscriptionId: 'sub_of_nobody' })).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    const malformed = await hub().list({ subscriptionId: 'a b' });
    expect(malformed.problem.errors?.map(({ field }) => field)).toEqual(['subscriptionId']);
  });
});

test('the history holds every event, no secret, and a hash chain that an auditor verifies', async () => {
  await portal.register('sub_audited');
  const { clientId, secret } = await portal.newClient('API_KEY');
  await portal.rename(clientId, 'Audited');
  await portal.assign(clientId, 'sub_audited');
  await apiKeyLogin(server.url, secret);
  const rotated = await portal.rotate(clientId, { overlapSeconds: 60 });
  const { draft, apiKey } = (await portal.draft('API_KEY', clientId)).body;
  await portal.rotate(clientId, { draft, overlapSeconds: 60 });
  await portal.retire(clientId, 2);
  await portal.unassign(clientId, 'sub_audited');
  const revoked = await portal.revoke(clientId);

  const auditor = Portal.of(server, { scopes: ['audit:read'] });
  const pages = await auditor.walk((cursor) => auditor.history(clientId, { limit: 2, ...cursor }, readAfter(revoked)));
  expect(pages.map(({ type }) => type)).toEqual([
    'ConsumerClientCreated',
    'ConsumerClientRenamed',
    'ConsumerClientAssignedToSubscription',
    'ConsumerClientStaticTokenIssued',
    'ConsumerClientSecretRotated',
    'ConsumerClientSecretRotated',
    'ConsumerClientCredentialRetired',
    'ConsumerClientUnassignedFromSubscription',
    'ConsumerClientRevoked',
  ]);
  expect(pages.map(({ revision }) => revision)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(pages[0]).toMatchObject({ actor: { subject: 'portal-backend', via: 'http' }, workspaceId: 'acme' });
  expect(pages[3]).toMatchObject({ actor: { subject: clientId, via: 'login' } });
  const backwards = await auditor.history(clientId, { order: 'desc', limit: 9 });
  expect(backwards.body.items).toEqual(pages.toReversed());

  const text = JSON.stringify(pages);
  for (const hidden of [secret, secretOf(rotated.body.credential), apiKey, draft, 'ccs_', '$argon2']) {
    expect(text).not.toContain(hidden);
  }
  const stream = `consumerClient-${clientId}`;
  const events = pages.map((entry) => recordedEventOf(stream, entry));
  expect(await verifyChain(stream, events)).toMatchObject({ whole: true, last: { revision: 8n } });
  const forged = events.map((event) => (event.revision === 1n ? { ...event, data: { name: 'Innocent' } } : event));
  expect(await verifyChain(stream, forged)).toMatchObject({ whole: false, fault: 'HASH_MISMATCH', revision: 1n });
});
