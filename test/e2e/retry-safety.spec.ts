import { MasterKeys, openDraft, sealDraft } from '#credentials';
import { standaloneMasterKey } from '#stores';
import type { Answer } from '../support/api/http.js';
import { apiKeyLogin } from '../support/api/login.js';
import { type ClientAnswer, type Headers, Portal, readAfter, secretOf } from '../support/api/portal.js';
import { idleMs } from '../support/load/load-meter.js';
import { Standalone } from '../support/processes/standalone.js';

let server: Standalone;
let portal: Portal;

beforeAll(async () => {
  server = await Standalone.startReady();
  portal = Portal.of(server);
  await portal.register('sub_weather', { endpointUri: 'weather' });
});

afterAll(() => server.stop());

let keys = 0;
const newKey = (): Headers => ({ 'idempotency-key': `key-${++keys}` });

const eventTypes = async (clientId: string, after: Answer<unknown>) =>
  (await portal.wholeHistory(clientId, readAfter(after))).map(({ type }) => type);

/** Expects that the repeated command got the same answer as the first command, but without the secret. */
function expectSameResult(repeated: Answer<ClientAnswer>, first: Answer<ClientAnswer>): void {
  const { credential, ...result } = first.body;
  expect(repeated.body).toEqual(credential ? { ...result, credentialShown: true } : result);
  expect(repeated.status).toBe(first.status);
  for (const header of ['etag', 'x-consistency-token']) expect(repeated.header(header)).toBe(first.header(header));
}

describe('every command, sent again with its Idempotency-Key', () => {
  /**
   * Prepares a client. Resolves to two functions: `send` sends a command, and `sendAnother` sends the command with
   * another payload.
   */
  type Command = () => Promise<{
    send: (headers: Headers) => Promise<Answer<ClientAnswer>>;
    sendAnother: (headers: Headers) => Promise<Answer<ClientAnswer>>;
  }>;

  const commands: Record<string, Command> = {
    create: () =>
      Promise.resolve({
        send: (headers) => portal.create({ name: 'Importer' }, headers),
        sendAnother: (headers) => portal.create({ name: 'Exporter' }, headers),
      }),
    'create from a draft': async () => {
      const { draft } = (await portal.draft('OAUTH2')).body;
      return {
        send: (headers) => portal.create({ draft }, headers),
        sendAnother: (headers) => portal.create({ draft, name: 'Exporter' }, headers),
      };
    },
    rename: async () => {
      const { clientId } = await portal.newClient();
      return {
        send: (headers) => portal.rename(clientId, 'Exporter', headers),
        sendAnother: (headers) => portal.rename(clientId, 'Reporter', headers),
      };
    },
    rotate: async () => {
      const { clientId } = await portal.newClient();
      return {
        send: (headers) => portal.rotate(clientId, { overlapSeconds: 60 }, headers),
        sendAnother: (headers) => portal.rotate(clientId, {}, headers),
      };
    },
    'rotate with a draft': async () => {
      const { clientId } = await portal.newClient();
      const { draft } = (await portal.draft('OAUTH2', clientId)).body;
      return {
        send: (headers) => portal.rotate(clientId, { draft }, headers),
        sendAnother: (headers) => portal.rotate(clientId, { draft, overlapSeconds: 60 }, headers),
      };
    },
    retire: async () => {
      const { clientId } = await portal.newClient();
      await portal.rotate(clientId, { overlapSeconds: 60 });
      return {
        send: (headers) => portal.retire(clientId, 1, headers),
        sendAnother: (headers) => portal.retire(clientId, 2, headers),
      };
    },
    assign: async () => {
      const { clientId } = await portal.newClient();
      return {
        send: (headers) => portal.assign(clientId, 'sub_weather', headers),
        sendAnother: (headers) => portal.assign(clientId, 'sub_of_nobody', headers),
      };
    },
    unassign: async () => {
      const { clientId } = await portal.newClient();
      await portal.assign(clientId, 'sub_weather');
      return {
        send: (headers) => portal.unassign(clientId, 'sub_weather', headers),
        sendAnother: (headers) => portal.unassign(clientId, 'sub_of_nobody', headers),
      };
    },
    revoke: async () => {
      const { clientId } = await portal.newClient();
      return {
        send: (headers) => portal.revoke(clientId, 'Leaked', headers),
        sendAnother: (headers) => portal.revoke(clientId, 'Lost', headers),
      };
    },
  };

  test.each(Object.entries(commands))(
    '%s: the same result, no second event; another payload is 422',
    async (_, command) => {
      const { send, sendAnother } = await command();
      const key = newKey();
      const first = await send(key);
      const { client } = first.body;
      expectSameResult(await send(key), first);
      expect((await sendAnother(key)).refusal).toBe('422 IDEMPOTENCY_KEY_REUSED');
      const history = await portal.wholeHistory(client.clientId, readAfter(first));
      expect(history).toHaveLength(client.revision + 1);
    },
  );

  test.each(Object.entries(commands))('%s: sent ten times at once, it is carried out once', async (_, command) => {
    const { send } = await command();
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(key)));
    const [first] = answers;
    if (!first) throw new Error('No answer');
    for (const { body } of answers) expect(body.client).toEqual(first.body.client);
    expect(answers.filter(({ body }) => body.credential).length).toBeLessThanOrEqual(1);
    expect(await portal.wholeHistory(first.body.client.clientId, readAfter(first))).toHaveLength(
      first.body.client.revision + 1,
    );
  });

  test('register and end of a subscription', async () => {
    const key = newKey();
    const first = await portal.register('sub_retried', { endpointUri: 'retried' }, key);
    expect(first.status).toBe(201);
    const other = await portal.register('sub_retried', { endpointUri: 'retried', serviceName: 'Other' }, key);
    expect(other.refusal).toBe('422 IDEMPOTENCY_KEY_REUSED');
    const endKey = newKey();
    const ended = await portal.end('sub_retried', 'Over', endKey);
    expect((await portal.end('sub_retried', 'Over', endKey)).body).toEqual(ended.body);
    expect((await portal.end('sub_retried', 'Other', endKey)).refusal).toBe('422 IDEMPOTENCY_KEY_REUSED');
    const again = await portal.register('sub_retried', { endpointUri: 'retried' }, key);
    expect(again.status).toBe(201);
    expect(again.body).toEqual(first.body);
    expect(again.body.status).toBe('LIVE');
  });
});

describe('the look-up of the Idempotency-Key comes before every rule', () => {
  test('a repeated create is answered after the client was revoked, with the state right after its creation', async () => {
    const key = newKey();
    const first = await portal.create({ name: 'Importer' }, key);
    const { clientId } = first.body.client;
    await portal.rename(clientId, 'Renamed since');
    const revoked = await portal.revoke(clientId);
    expectSameResult(await portal.create({ name: 'Importer' }, key), first);
    expect(await eventTypes(clientId, revoked)).toEqual([
      'ConsumerClientCreated',
      'ConsumerClientRenamed',
      'ConsumerClientRevoked',
    ]);
  });

  test('repeated renames, rotations, retirements, assignments and unassignments are answered after the revocation', async () => {
    const { clientId, secret } = await portal.newClient('API_KEY');
    const [rename, rotate, retire, assign, unassign] = [newKey(), newKey(), newKey(), newKey(), newKey()];
    const sendAll = async () => [
      await portal.rename(clientId, 'Exporter', rename),
      await portal.rotate(clientId, { overlapSeconds: 60 }, rotate),
      await portal.retire(clientId, 1, retire),
      await portal.assign(clientId, 'sub_weather', assign),
      await portal.unassign(clientId, 'sub_weather', unassign),
    ];
    const firsts = await sendAll();
    expect(firsts.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const revoked = await portal.revoke(clientId);
    for (const [at, repeated] of (await sendAll()).entries()) {
      const first = firsts[at];
      if (!first) throw new Error('More answers than before');
      expectSameResult(repeated, first);
    }
    expect((await portal.wholeHistory(clientId, readAfter(revoked))).at(-1)?.revision).toBe(
      revoked.body.client.revision,
    );
    expect((await apiKeyLogin(server.url, secret)).status).toBe(401);
  });

  test('a repeated assignment is answered after its subscription has ended', async () => {
    await portal.register('sub_short', { endpointUri: 'short' });
    const { clientId } = await portal.newClient();
    const key = newKey();
    const first = await portal.assign(clientId, 'sub_short', key);
    await portal.end('sub_short');
    expectSameResult(await portal.assign(clientId, 'sub_short', key), first);
    expect((await portal.assign(clientId, 'sub_short', newKey())).refusal).toBe('409 SUBSCRIPTION_ENDED');
  });

  test('a repeated creation or rotation from a draft is answered an hour later, when the draft has expired', async () => {
    const masterKeys = MasterKeys.from({ current: standaloneMasterKey(server.dataDir), previous: [] });
    const expiringSoon = async (draft: string) => {
      const expiresAt = new Date(Date.now() + 400).toISOString();
      const sealed = await sealDraft({ ...(await openDraft(draft, masterKeys)), expiresAt }, masterKeys);
      return {
        sealed,
        expired: () => new Promise((resolve) => setTimeout(resolve, Date.parse(expiresAt) - Date.now() + 1)),
      };
    };
    const { clientId } = await portal.newClient();
    const forNew = await expiringSoon((await portal.draft('OAUTH2')).body.draft);
    const created = await portal.create({ draft: forNew.sealed }, { 'idempotency-key': 'expiring-create' });
    const forOne = await expiringSoon((await portal.draft('OAUTH2', clientId)).body.draft);
    const rotated = await portal.rotate(clientId, { draft: forOne.sealed }, { 'idempotency-key': 'expiring-rotate' });
    await Promise.all([forNew.expired(), forOne.expired()]);
    expect((await portal.create({ draft: forNew.sealed }, newKey())).refusal).toBe('400 DRAFT_EXPIRED');
    expectSameResult(await portal.create({ draft: forNew.sealed }, { 'idempotency-key': 'expiring-create' }), created);
    expectSameResult(
      await portal.rotate(clientId, { draft: forOne.sealed }, { 'idempotency-key': 'expiring-rotate' }),
      rotated,
    );
  });

  test('If-Match: a repeat with the original ETag is answered, not 412', async () => {
    const { clientId } = await portal.newClient();
    const headers = { ...newKey(), 'if-match': '"0"' };
    const first = await portal.rename(clientId, 'Exporter', headers);
    await portal.rename(clientId, 'Renamed since');
    expectSameResult(await portal.rename(clientId, 'Exporter', headers), first);
    expect((await portal.get(clientId, await portal.readNow())).body.name).toBe('Renamed since');
  });

  test('a repeated command that had changed nothing is decided again', async () => {
    const { clientId } = await portal.newClient('OAUTH2', 'Importer');
    const key = newKey();
    expect((await portal.rename(clientId, 'Importer', key)).body.client.revision).toBe(0);
    await portal.rename(clientId, 'Exporter');
    expect((await portal.rename(clientId, 'Importer', key)).body.client).toMatchObject({
      name: 'Importer',
      revision: 2,
    });
  });
});

describe('an Idempotency-Key', () => {
  test('belongs to one workspace and one caller: the same key of another caller is another command', async () => {
    const key = newKey();
    const first = await portal.create({}, key);
    const colleague = await Portal.of(server, { subject: 'another-backend' }).create({}, key);
    const stranger = await Portal.of(server, { workspaceId: 'globex' }).create({}, key);
    const ids = [first, colleague, stranger].map(({ body }) => body.client.clientId);
    expect(new Set(ids).size).toBe(3);
    for (const { body } of [first, colleague, stranger]) expect(secretOf(body.credential)).toMatch(/^ccs_/);
  });

  test('compares payloads as JSON: the order of fields and white space do not matter', async () => {
    const key = newKey();
    const headers = { ...key, 'content-type': 'application/json' };
    const send = (text: string) =>
      portal.send<ClientAnswer>('POST', '/v1/clients', { headers, body: Buffer.from(text) });
    const first = await send('{"name":"Importer","authenticationType":"OAUTH2"}');
    expectSameResult(await send('{ "authenticationType": "OAUTH2",\n "name": "\\u0049mporter" }'), first);
  });

  test('is 1 to 128 visible ASCII characters', async () => {
    for (const key of ['', ' ', 'a b', 'é', 'x'.repeat(129)]) {
      const refused = await portal.create({}, { 'idempotency-key': Buffer.from(key).toString('latin1') });
      expect(refused.refusal).toBe('400 VALIDATION_FAILED');
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['Idempotency-Key']);
    }
    expect((await portal.create({}, { 'idempotency-key': '~'.repeat(128) })).status).toBe(201);
  });
});

describe('If-Match', () => {
  test('lets a command through if the ETag is current, and is 412 otherwise', async () => {
    const { clientId } = await portal.newClient();
    const etag = (await portal.rename(clientId, 'Exporter')).header('etag');
    expect(etag).toBe('"1"');
    expect((await portal.rename(clientId, 'Reporter', { 'if-match': '"0"' })).refusal).toBe('412 PRECONDITION_FAILED');
    expect((await portal.rename(clientId, 'Reporter', { 'if-match': '"2"' })).refusal).toBe('412 PRECONDITION_FAILED');
    expect((await portal.revoke(clientId, 'x', { 'if-match': '"0"' })).refusal).toBe('412 PRECONDITION_FAILED');
    expect((await portal.rename(clientId, 'Reporter', { 'if-match': etag })).header('etag')).toBe('"2"');
    const renamed = await portal.rename(clientId, 'Importer', { 'if-match': '*' });
    expect(renamed.header('etag')).toBe('"3"');
    expect((await portal.get(clientId, readAfter(renamed))).header('etag')).toBe('"3"');
  });

  test('of ten that saw the same state, one wins', async () => {
    const { clientId } = await portal.newClient();
    const racing = Array.from({ length: 10 }, (_, at) => portal.rename(clientId, `Name ${at}`, { 'if-match': '"0"' }));
    const statuses = (await Promise.all(racing)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 412)).toHaveLength(9);
  });

  test('with * wants that there is something', async () => {
    const any = { 'if-match': '*' };
    expect((await portal.register('sub_nothing', {}, any)).refusal).toBe('412 PRECONDITION_FAILED');
    expect((await portal.register('sub_nothing')).status).toBe(201);
    expect((await portal.register('sub_nothing', {}, any)).status).toBe(200);
    for (const headers of [any, { ...any, ...newKey() }]) {
      expect((await portal.create({}, headers)).refusal).toBe('412 PRECONDITION_FAILED');
    }
  });

  test('guards the end of a subscription, too', async () => {
    const registered = await portal.register('sub_guarded', { endpointUri: 'guarded' });
    expect((await portal.end('sub_guarded', 'x', { 'if-match': '"7"' })).refusal).toBe('412 PRECONDITION_FAILED');
    expect((await portal.end('sub_guarded', 'x', { 'if-match': registered.header('etag') })).status).toBe(200);
  });

  test('does not reveal whether another workspace’s client exists, nor its revision', async () => {
    const { clientId } = await portal.newClient();
    const stranger = Portal.of(server, { workspaceId: 'globex' });
    for (const etag of ['"0"', '"1"']) {
      expect((await stranger.rename(clientId, 'Mine', { 'if-match': etag })).refusal).toBe('404 CLIENT_NOT_FOUND');
      const unknown = await stranger.rename('cc_00000000000000000000', 'Mine', { 'if-match': etag });
      expect(unknown.refusal).toBe('404 CLIENT_NOT_FOUND');
    }
  });

  test('must be one strong ETag of this API', async () => {
    const { clientId } = await portal.newClient();
    for (const etag of ['0', 'W/"0"', '"0", "1"', '"-1"', '"abc"', `"${'9'.repeat(20)}"`]) {
      const refused = await portal.rename(clientId, 'Exporter', { 'if-match': etag });
      expect(refused.refusal).toBe('400 VALIDATION_FAILED');
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['If-Match']);
    }
  });
});

describe('consistency tokens', () => {
  test('a query that carries a command’s token sees the command', async () => {
    for (let round = 0; round < 30; round++) {
      const created = await portal.create({ name: `Round ${round}` });
      const { clientId } = created.body.client;
      expect((await portal.get(clientId, readAfter(created))).body).toEqual(created.body.client);
      const listed = await portal.list({ sort: 'createdAt', order: 'desc', limit: 1 }, readAfter(created));
      expect(listed.body.items).toEqual([created.body.client]);
      const renamed = await portal.rename(clientId, `Renamed ${round}`);
      expect((await portal.wholeHistory(clientId, readAfter(renamed))).map(({ revision }) => revision)).toEqual([0, 1]);
    }
  });

  test('a query with a token of the future waits, then answers 503 with Retry-After', async () => {
    const { clientId, token } = await portal.newClient();
    const [logId, position = ''] = token.split('@');
    const future = `${logId}@${'9'.repeat(position.length)}`;
    const headers = { 'x-consistency-token': future };
    for (const ask of [() => portal.get(clientId, headers), () => portal.subscriptions({}, headers)]) {
      const askInVain = async () => {
        const refused: Answer<unknown> = await ask();
        expect(refused.refusal).toBe('503 READ_MODEL_BEHIND');
        expect(Number(refused.header('retry-after'))).toBeGreaterThan(0);
      };
      expect(await idleMs(askInVain)).toBeLessThan(4000);
    }
    const began = performance.now();
    expect((await portal.list({}, headers)).status).toBe(503);
    expect(performance.now() - began).toBeGreaterThan(1900);
  });

  test('a foreign or made-up token is 400, naming the field', async () => {
    const { clientId, token } = await portal.newClient();
    const [, position] = token.split('@');
    const foreign = await portal.get(clientId, {
      'x-consistency-token': `6b1d1d3e-8a63-4f4e-9b54-0c5d6ab0c6f1@${position}`,
    });
    expect(foreign.refusal).toBe('400 FOREIGN_CONSISTENCY_TOKEN');
    expect(foreign.problem.errors?.map(({ field }) => field)).toEqual(['X-Consistency-Token']);
    for (const made of ['', 'x', token.slice(1), `${token}0'; DROP TABLE events; --`, `${token}, ${token}`]) {
      const refused = await portal.list({}, { 'x-consistency-token': made });
      expect(refused.refusal).toBe('400 VALIDATION_FAILED');
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['X-Consistency-Token']);
    }
  });
});
