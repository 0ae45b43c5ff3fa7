import { verifyChain } from '#events';
import { eventually } from '../support/api/http.js';
import { apiKeyLogin, oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { Portal, readAfter, recordedEventOf } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

let server: Standalone;
let portal: Portal;
let stranger: Portal;

beforeAll(async () => {
  server = await Standalone.startReady();
  portal = Portal.of(server);
  stranger = Portal.of(server, { workspaceId: 'globex' });
});

afterAll(() => server.stop());

describe('registering', () => {
  test('is 201, 200 when repeated, 409 with other values, 404 for another workspace’s id', async () => {
    const body = { endpointUri: 'weather', serviceName: ' Weather forecasts ' };
    const registered = await portal.register('sub_weather_1', body);
    expect(registered.status).toBe(201);
    expect(registered.body).toEqual({
      subscriptionId: 'sub_weather_1',
      workspaceId: 'acme',
      endpointUri: 'weather',
      serviceName: 'Weather forecasts',
      status: 'LIVE',
      registeredAt: expect.stringMatching(/Z$/) as unknown,
      revision: 0,
    });
    expect(registered.header('etag')).toBe('"0"');
    const again = await portal.register('sub_weather_1', body);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(registered.body);
    expect((await portal.register('sub_weather_1', { ...body, serviceName: 'Rain' })).refusal).toBe(
      '409 SUBSCRIPTION_EXISTS',
    );
    expect((await portal.register('sub_weather_1', { ...body, endpointUri: 'rain' })).refusal).toBe(
      '409 SUBSCRIPTION_EXISTS',
    );
    expect((await stranger.register('sub_weather_1', body)).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    const listed = await portal.subscriptions({ serviceName: 'weather' }, readAfter(registered));
    expect(listed.body.items).toEqual([registered.body]);
  });

  test('a slug belongs to its first subscription for ever, even after its end, and to nobody else', async () => {
    await portal.register('sub_tides', { endpointUri: 'tides' });
    expect((await portal.register('sub_tides_2', { endpointUri: 'tides' })).refusal).toBe('409 ENDPOINT_URI_TAKEN');
    const elsewhere = await stranger.register('sub_tides_of_globex', { endpointUri: 'tides' });
    expect(elsewhere.refusal).toBe('409 ENDPOINT_URI_TAKEN');
    expect(elsewhere.problem.errors?.map(({ field }) => field)).toEqual(['endpointUri']);
    await portal.end('sub_tides');
    expect((await portal.register('sub_tides_2', { endpointUri: 'tides' })).refusal).toBe('409 ENDPOINT_URI_TAKEN');
    expect((await portal.register('sub_tides', { endpointUri: 'tides' })).refusal).toBe('409 SUBSCRIPTION_EXISTS');
    expect((await portal.register('sub_tides_2', { endpointUri: 'tides-2' })).status).toBe(201);
  });

  test('paths of the service itself and invalid slugs are refused', async () => {
    const slugs = [
      'oauth',
      'gateway',
      'health',
      'login',
      'metrics',
      'docs',
      'ab',
      '-ab',
      'Weather',
      'a_b',
      'a/b',
      'a'.repeat(64),
    ];
    for (const endpointUri of [...slugs, '', ' abc', 'abc\n', 'münchen']) {
      const refused = await portal.register('sub_reserved', { endpointUri });
      expect(refused.refusal).toBe('400 INVALID_ENDPOINT_URI');
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['endpointUri']);
    }
    expect((await portal.register('sub_reserved', { endpointUri: '0a-' })).status).toBe(201);
  });

  test('ids are [A-Za-z0-9_-]{1,64}', async () => {
    for (const id of ['a.b', 'a'.repeat(65), 'a%20b', '%00', 'caf%C3%A9']) {
      const refused = await portal.register(id, { endpointUri: 'any-slug' });
      expect(refused.refusal).toBe('400 INVALID_SUBSCRIPTION_ID');
      expect(refused.problem.errors?.map(({ field }) => field)).toEqual(['subscriptionId']);
    }
    expect((await portal.register('a'.repeat(64), { endpointUri: 'any-slug' })).status).toBe(201);
  });

  test.each([1, 2, 3])('of ten registrations that race for one slug, exactly one gets it (race %i)', async (race) => {
    const endpointUri = `contested-${race}`;
    const ids = Array.from({ length: 10 }, (_, at) => `sub_race_${race}_${at}`);
    const answers = await Promise.all(ids.map((id) => portal.register(id, { endpointUri })));
    const winners = answers.filter(({ status }) => status === 201);
    expect(winners).toHaveLength(1);
    const losers = answers.filter(({ status }) => status !== 201);
    expect(new Set(losers.map(({ refusal }) => refusal))).toEqual(new Set(['409 ENDPOINT_URI_TAKEN']));
    const [winner] = winners;
    if (!winner) throw new Error('Nobody won');
    const listed = await portal.subscriptions({ limit: 200 }, readAfter(winner));
    expect(listed.body.items.filter((item) => item.endpointUri === endpointUri)).toEqual([winner.body]);

    const { clientId, secret } = await portal.newClient('API_KEY');
    await portal.assign(clientId, winner.body.subscriptionId);
    expect((await apiKeyLogin(server.url, secret, endpointUri)).status).toBe(200);
  });

  test('a loser of such a race registers with another slug', async () => {
    await portal.register('sub_first', { endpointUri: 'wanted' });
    expect((await portal.register('sub_second', { endpointUri: 'wanted' })).status).toBe(409);
    expect((await portal.register('sub_second', { endpointUri: 'unwanted' })).status).toBe(201);
  });
});

describe('the list of subscriptions', () => {
  test('shows live ones, ended ones or both, sorted, searched by name, by pages; of one workspace', async () => {
    const hub = Portal.of(server, { workspaceId: 'hub' });
    for (const [id, serviceName] of [['h1', 'Delta'], ['h2', 'alpha'], ['h3', 'Bravo'], ['h4', 'ALPS']] as const) {
      await hub.register(id, { endpointUri: `hub-${id}`, serviceName });
    } // prettier-ignore
    const ended = await hub.end('h3');
    const ids = async (query = {}) =>
      (await hub.subscriptions(query, readAfter(ended))).body.items.map(({ subscriptionId }) => subscriptionId);
    expect(await ids()).toEqual(['h1', 'h2', 'h3', 'h4']);
    expect(await ids({ order: 'desc' })).toEqual(['h4', 'h3', 'h2', 'h1']);
    expect(await ids({ status: 'live' })).toEqual(['h1', 'h2', 'h4']);
    expect(await ids({ status: 'ended' })).toEqual(['h3']);
    expect(await ids({ sort: 'serviceName' })).toEqual(['h2', 'h4', 'h3', 'h1']);
    expect(await ids({ serviceName: 'AL' })).toEqual(['h2', 'h4']);
    const walked = await hub.walk((cursor) => hub.subscriptions({ limit: 1, sort: 'serviceName', ...cursor }));
    expect(walked.map(({ subscriptionId }) => subscriptionId)).toEqual(['h2', 'h4', 'h3', 'h1']);
  });
});

test('one subscription is read with its ETag, live and ended; only in its own workspace', async () => {
  const registered = await portal.register('sub_single', { endpointUri: 'single' });
  const live = await portal.subscription('sub_single', readAfter(registered));
  expect(live.body).toEqual(registered.body);
  expect(live.header('etag')).toBe('"0"');
  const end = await portal.end('sub_single', 'The contract is over');
  const ended = await portal.subscription('sub_single', readAfter(end));
  expect(ended.body).toEqual(end.body);
  expect(ended.header('etag')).toBe('"1"');
  expect((await stranger.subscription('sub_single', readAfter(end))).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
  expect((await portal.subscription('sub_of_nobody')).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
});

test('the history of a subscription holds its events and a hash chain that an auditor verifies', async () => {
  const first = await portal.register('sub_audited', { endpointUri: 'audited' });
  const { clientId } = await portal.newClient();
  await portal.assign(clientId, 'sub_audited');
  const end = await portal.end('sub_audited', 'The contract is over');
  const auditor = Portal.of(server, { scopes: ['audit:read'] });
  const [registered, ended] = await auditor.walk((cursor) =>
    auditor.historyOfSubscription('sub_audited', { limit: 1, ...cursor }, readAfter(end)),
  );
  const { subscriptionId, endpointUri, serviceName, registeredAt } = first.body;
  expect(registered).toMatchObject({
    ...{ revision: 0, type: 'SubscriptionRegistered', workspaceId: 'acme', actor: { subject: 'portal-backend' } },
    data: { subscriptionId, endpointUri, serviceName, registeredAt },
  });
  expect(ended).toMatchObject({ revision: 1, type: 'SubscriptionEnded', data: { reason: 'The contract is over' } });
  const stream = 'subscription-sub_audited';
  const events = [registered, ended].flatMap((entry) => (entry ? [recordedEventOf(stream, entry)] : []));
  expect(await verifyChain(stream, events)).toMatchObject({ whole: true, last: { revision: 1n } });
  const forged = events.map((event) => (event.revision === 1n ? { ...event, data: { reason: 'Unpaid' } } : event));
  expect(await verifyChain(stream, forged)).toMatchObject({ whole: false, fault: 'HASH_MISMATCH', revision: 1n });
  const elsewhere = await stranger.historyOfSubscription('sub_audited', {}, readAfter(end));
  expect(elsewhere.refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
  expect((await auditor.historyOfSubscription(clientId)).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
});

describe('ending a subscription', () => {
  test('answers agree with the list; ending it again changes nothing; another workspace’s is not found', async () => {
    await portal.register('sub_contract', { endpointUri: 'contract' });
    expect((await stranger.end('sub_contract')).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    expect((await portal.end('sub_contract', ' ')).refusal).toBe('400 INVALID_REASON');
    for (const refused of [
      await portal.end('sub_contract', 'x'.repeat(5001)),
      await portal.previewEnd('sub_contract', { reason: 'x'.repeat(5001) }),
    ]) {
      expect(refused.problem.errors).toEqual([{ field: 'reason', message: 'reason must have 1 to 500 characters' }]);
    }
    expect((await portal.previewEnd('sub_contract', { reason: ' ' })).refusal).toBe('400 INVALID_REASON');
    const ended = await portal.end('sub_contract', 'The contract is over');
    expect(ended.body).toMatchObject({ status: 'ENDED', endReason: 'The contract is over', revision: 1 });
    const listed = await portal.subscriptions({ status: 'ended', limit: 200 }, readAfter(ended));
    expect(listed.body.items).toContainEqual(ended.body);
    expect((await portal.end('sub_contract', 'Again')).body).toEqual(ended.body);
  });

  test('a dry run shows which clients would be unassigned, by pages, and ends nothing', async () => {
    await portal.register('sub_crowded');
    const clientIds: string[] = [];
    const assigned = async () => {
      const { clientId } = await portal.newClient();
      await portal.assign(clientId, 'sub_crowded');
      clientIds.push(clientId);
    };
    await Promise.all([assigned(), assigned(), assigned()]);
    const caughtUp = await portal.readNow();
    const whole = (await portal.previewEnd('sub_crowded', {}, caughtUp)).body;
    expect(whole.wouldUnassign.toSorted()).toEqual(clientIds.toSorted());
    expect(whole.nextCursor).toBeUndefined();
    const preview = await portal.previewEnd('sub_crowded', { limit: 2 }, caughtUp);
    expect(preview.header('etag')).toBe('"0"');
    const { wouldUnassign, nextCursor = '' } = preview.body;
    expect(wouldUnassign).toHaveLength(2);
    const others = (await portal.clientsOf('sub_crowded', { cursor: nextCursor })).body.items;
    expect([...wouldUnassign, ...others.map(({ clientId }) => clientId)].toSorted()).toEqual(clientIds.toSorted());
    expect((await portal.subscription('sub_crowded', caughtUp)).body).toMatchObject({ status: 'LIVE', revision: 0 });
    const neither = await portal.send('DELETE', '/v1/subscriptions/sub_crowded?dryRun=perhaps');
    expect(neither.problem.errors?.map(({ field }) => field)).toEqual(['dryRun']);
    for (const limit of ['0', '201', 'x'])
      expect((await portal.previewEnd('sub_crowded', { limit })).refusal).toBe('400 VALIDATION_FAILED');
    const mistaken = await portal.send('DELETE', '/v1/subscriptions/sub_crowded?limit=2');
    expect(mistaken.problem.errors?.map(({ field }) => field)).toEqual(['limit']);
    expect((await stranger.previewEnd('sub_crowded')).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    await portal.end('sub_crowded');
    expect((await portal.previewEnd('sub_crowded')).body).toEqual({ wouldUnassign: [] });
  });

  test('refuses logins from the acknowledgement on, and unassigns every client afterwards', async () => {
    await portal.register('sub_ending', { endpointUri: 'ending' });
    await portal.register('sub_staying', { endpointUri: 'staying' });
    const clients = [];
    for (let count = 0; count < 5; count++) {
      const client = await portal.newClient('OAUTH2', `Importer ${count}`);
      await portal.assign(client.clientId, 'sub_ending');
      const assigned = await portal.assign(client.clientId, 'sub_staying');
      clients.push({ ...client, assigned });
    }
    const [first] = clients;
    if (!first) throw new Error('No client');
    expect((await oauthLogin(server.url, first, 'ending')).status).toBe(200);

    const ended = await portal.end('sub_ending');
    for (const client of clients) {
      const refused = oauthErrorOf(await oauthLogin(server.url, client, 'ending'));
      expect(refused).toMatchObject({ status: 400, error: 'unauthorized_client' });
      expect((await oauthLogin(server.url, client, 'staying')).status).toBe(200);
    }
    await eventually(
      () => portal.clientsOf('sub_ending', {}, readAfter(ended)),
      ({ body }) => body.items.length === 0,
    );
    for (const { clientId } of clients) {
      const history = await portal.wholeHistory(clientId, await portal.readNow());
      expect(history.at(-1)).toMatchObject({
        type: 'ConsumerClientUnassignedFromSubscription',
        data: { subscriptionId: 'sub_ending', reason: 'SUBSCRIPTION_ENDED' },
        actor: { subject: 'subscription-ends', via: 'process-manager' },
        workspaceId: 'acme',
        revision: 3,
      });
    }
    expect((await portal.clientsOf('sub_staying', {}, await portal.readNow())).body.items).toHaveLength(5);
  });

  test('an assignment that races the end is refused or undone, and never logs in', async () => {
    for (let round = 0; round < 10; round++) {
      const subscriptionId = `sub_raced_${round}`;
      const endpointUri = `raced-${round}`;
      await portal.register(subscriptionId, { endpointUri });
      const clients = await Promise.all([portal.newClient(), portal.newClient(), portal.newClient()]);
      const [, ...assigned] = await Promise.all([
        portal.end(subscriptionId),
        ...clients.map(({ clientId }) => portal.assign(clientId, subscriptionId)),
      ]);
      for (const [at, answer] of assigned.entries()) {
        if (answer.status !== 200) expect(answer.refusal).toBe('409 SUBSCRIPTION_ENDED');
        const client = clients[at];
        if (!client) throw new Error('No client');
        expect((await oauthLogin(server.url, client, endpointUri)).status).toBe(400);
        const caughtUp = await portal.readNow();
        const assignments = () => portal.get(client.clientId, caughtUp);
        await eventually(assignments, ({ body }) => body.subscriptions.length === 0);
      }
    }
  });
});
