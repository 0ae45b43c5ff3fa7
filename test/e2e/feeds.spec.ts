import { createHash } from 'node:crypto';
import { canonicalJson } from '#events';
import type { CloudEvent } from '#feeds';
import { send } from '../support/api/http.js';
import { Portal } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

let server: Standalone;
let portal: Portal;

beforeAll(async () => {
  server = await Standalone.startReady();
  portal = Portal.of(server);
});
afterAll(() => server.stop());

const poll = (path: string, headers: Record<string, string> = {}, reader = portal) =>
  send<CloudEvent[]>('GET', server.url, path, { headers: { authorization: `Bearer ${reader.token}`, ...headers } });

const nextIn = (link: string): string => {
  const [, path = ''] = /^<(\/v1\/events\?[^>]+)>; rel="next"$/.exec(link) ?? [];
  expect(path).not.toBe('');
  return path;
};

/** Follows the links until a page names itself. */
async function follow(path: string, reader = portal): Promise<{ events: CloudEvent[]; last: string }> {
  const events: CloudEvent[] = [];
  for (let at = path; ;) {
    const page = await poll(at, {}, reader);
    events.push(...page.body);
    const next = nextIn(page.header('link'));
    if (next === at) return { events, last: at };
    at = next;
  }
}

const forceHead = () =>
  send('POST', server.url, '/v1/log/heads', { headers: { authorization: `Bearer ${server.adminToken}` } });

describe('The feed by polling', () => {
  test('has each event of the workspace once, in order, and the heads of the tree, and nothing of another', async () => {
    const other = Portal.of(server, { workspaceId: 'initech' });
    await portal.register('sub_feed', { endpointUri: 'feed' });
    const ids: string[] = [];
    for (let each = 0; each < 3; each += 1) {
      const { clientId } = await portal.newClient();
      await other.newClient();
      await portal.assign(clientId, 'sub_feed');
      ids.push(clientId);
    }
    const head = (await forceHead()).text;
    const { events, last } = await follow('/v1/events?limit=2');

    const sequences = events.map(({ sequence }) => sequence);
    expect(sequences).toEqual([...new Set(sequences)].sort());
    expect(events.map(({ type, subject }) => [type.split('.')[1], subject])).toEqual([
      ['SubscriptionRegistered', 'sub_feed'],
      ...ids.flatMap((id) => [
        ['ConsumerClientCreated', id],
        ['ConsumerClientAssignedToSubscription', id],
      ]),
      ['TreeHeadSigned', undefined],
    ]);
    const [origin = ''] = head.split('\n');
    for (const { source, hash, data, id, time, recordedtime, partitionkey, subject } of events) {
      expect(createHash('sha256').update(canonicalJson(data)).digest('hex')).toBe(hash);
      expect([source, id]).toEqual([`${origin}/${String(data.stream)}`, data.eventId]);
      expect([recordedtime, partitionkey]).toEqual([time, subject ?? 'treeHeads']);
    }
    expect(events.at(-1)?.data.data).toMatchObject({ note: head });
    expect(JSON.stringify(events)).not.toMatch(/argon2|initech/);

    const { clientId } = await portal.newClient();
    const { events: later } = await follow(last);
    expect(later.map(({ subject, authtype }) => [subject, authtype])).toEqual([[clientId, 'service_account']]);
  });

  test('numbers the events as the leaves of the tree', async () => {
    const size = Number((await forceHead()).text.split('\n')[1]);
    const path = `${server.url}/v1/log/tile/entries/000.p/${size}`;
    const tile = await fetch(path, { headers: { authorization: `Bearer ${server.adminToken}` } });
    const entries = Buffer.from(await tile.arrayBuffer());
    const leaves = (await follow('/v1/events')).events.filter(({ leafindex }) => leafindex !== undefined);
    expect(leaves.length).toBeGreaterThan(6);
    for (const { leafindex, hash } of leaves) {
      const at = Number(leafindex) * 34 + 2;
      expect([leafindex, entries.subarray(at, at + 32).toString('hex')]).toEqual([leafindex, hash]);
    }
  });

  test('comes as a batch or, where Accept asks for it, one event a line', async () => {
    const batch = await poll('/v1/events?limit=3', { accept: 'application/json' });
    expect(batch.header('content-type')).toBe('application/cloudevents-batch+json');
    const lines = await poll('/v1/events?limit=3', { accept: 'application/x-ndjson' });
    expect(lines.header('content-type')).toBe('application/x-ndjson');
    expect(lines.text.trim().split('\n')).toEqual(batch.body.map((event) => JSON.stringify(event)));
  });

  test('refuses a place that the log does not have, instead of passing over what came between', async () => {
    expect((await poll(`/v1/events?after=${'9'.repeat(20)}`)).refusal).toBe('410 UNKNOWN_POSITION');
    expect((await poll('/v1/events?after=4711')).refusal).toBe('400 VALIDATION_FAILED');
    const fromStart = await poll(`/v1/events?after=${'0'.repeat(20)}`);
    expect(fromStart.body).toEqual((await poll('/v1/events')).body);
  });
});
