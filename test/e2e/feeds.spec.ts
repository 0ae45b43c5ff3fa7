import { createHash } from 'node:crypto';
import { canonicalJson } from '#events';
import type { CloudEvent } from '#feeds';
import { eventually, send } from '../support/api/http.js';
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
      expect([source, id]).toEqual([`${origin.replace(':', '%3A')}/${String(data.stream)}`, data.eventId]);
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

  test('comes by OCSF, too, where it is asked for, and so do the pages after it', async () => {
    const { body: events } = await poll('/v1/events?limit=2');
    const page = await send<{ metadata: { uid: string } }[]>('GET', server.url, '/v1/events?limit=2&format=ocsf', {
      headers: { authorization: `Bearer ${portal.token}` },
    });
    expect(page.header('content-type')).toBe('application/json');
    expect(page.body.map(({ metadata }) => metadata.uid)).toEqual(events.map(({ id }) => id));
    expect(nextIn(page.header('link'))).toContain('format=ocsf');
    expect((await poll('/v1/events?format=cef')).refusal).toBe('400 VALIDATION_FAILED');
  });

  test('refuses a place that the log does not have, instead of passing over what came between', async () => {
    expect((await poll(`/v1/events?after=${'9'.repeat(20)}`)).refusal).toBe('410 UNKNOWN_POSITION');
    expect((await poll('/v1/events?after=4711')).refusal).toBe('400 VALIDATION_FAILED');
    const fromStart = await poll(`/v1/events?after=${'0'.repeat(20)}`);
    expect(fromStart.body).toEqual((await poll('/v1/events')).body);
  });
});

/** An open stream of server-sent events. */
class EventStream {
  private text = '';
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  private constructor(
    readonly response: Response,
    private readonly connection: AbortController,
  ) {}

  static async open({ token = portal.token, path = '/v1/events', lastEventId = '' } = {}): Promise<EventStream> {
    const connection = new AbortController();
    const headers = {
      ...{ authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      ...(lastEventId !== '' && { 'last-event-id': lastEventId }),
    };
    const response = await fetch(`${server.url}${path}`, { headers, signal: connection.signal });
    return new EventStream(response, connection);
  }

  /** Returns the next message with data; `undefined` at the end of the stream. */
  async next(): Promise<{ id: string; event: CloudEvent } | undefined> {
    for (;;) {
      const end = this.text.indexOf('\n\n');
      if (end < 0) {
        this.reader ??= (this.response.body as ReadableStream<Uint8Array>).getReader();
        const { done, value } = await this.reader.read();
        if (done) return undefined;
        this.text += Buffer.from(value).toString();
        continue;
      }
      const message = this.text.slice(0, end);
      this.text = this.text.slice(end + 2);
      const [, id = '', data] = /^id: (\d{20})\ndata: (.*)$/.exec(message) ?? [];
      if (data !== undefined) return { id, event: JSON.parse(data) as CloudEvent };
    }
  }

  async take(count: number): Promise<CloudEvent[]> {
    const events: CloudEvent[] = [];
    while (events.length < count) {
      const message = await this.next();
      if (!message) throw new Error(`The stream ended after ${events.length} events`);
      expect(message.id).toBe(message.event.sequence);
      events.push(message.event);
    }
    return events;
  }

  close(): void {
    this.connection.abort();
  }
}

describe('The feed as server-sent events', () => {
  test('begins with the past, goes on with what happens, and after a break where the caller stopped', async () => {
    const { events: past, last } = await follow('/v1/events');
    const stream = await EventStream.open();
    const { headers, status } = stream.response;
    expect([status, headers.get('content-type'), headers.get('x-accel-buffering')]).toEqual([
      200,
      'text/event-stream',
      'no',
    ]);
    expect(headers.get('cache-control')).toContain('no-transform');
    expect(await stream.take(past.length)).toEqual(past);
    const first = await portal.newClient();
    const [seen] = await stream.take(1);
    expect(seen).toMatchObject({ subject: first.clientId, type: 'consumer-clients.ConsumerClientCreated.v2' });
    stream.close();

    const second = await portal.newClient();
    await Portal.of(server, { workspaceId: 'initech' }).newClient();
    const third = await portal.newClient();
    const again = await EventStream.open({ lastEventId: seen?.sequence ?? '' });
    const rest = await again.take(2);
    expect(rest.map(({ subject }) => subject)).toEqual([second.clientId, third.clientId]);
    again.close();
    expect([seen, ...rest]).toEqual((await follow(last)).events);
  });

  test('refuses an id that the log does not have, so that a caller notices a log that was restored', async () => {
    for (const lastEventId of ['9'.repeat(20), `${'0'.repeat(16)}9999`]) {
      const { response } = await EventStream.open({ lastEventId });
      expect([response.status, await response.json()]).toEqual([
        410,
        expect.objectContaining({ code: 'UNKNOWN_POSITION' }),
      ]);
    }
  });

  test('has so many connections of one subject, and a closed one makes room', async () => {
    const { token } = Portal.of(server, { subject: 'many-streams' });
    const streams = await Promise.all(Array.from({ length: 16 }, () => EventStream.open({ token })));
    expect(streams.map(({ response }) => response.status)).toEqual(streams.map(() => 200));
    const refused = await EventStream.open({ token });
    expect([refused.response.status, await refused.response.json()]).toEqual([
      429,
      expect.objectContaining({ code: 'TOO_MANY_EVENT_STREAMS' }),
    ]);
    streams.pop()?.close();
    streams.push(
      await eventually(
        () => EventStream.open({ token }),
        ({ response }) => response.status === 200,
      ),
    );
    for (const stream of streams) stream.close();
  });

  test('ends when the token of the caller expires', async () => {
    const { token } = Portal.of(server, { ttlSeconds: 2 });
    const stream = await EventStream.open({ token });
    const openedAt = performance.now();
    while (await stream.next());
    // It is also looked at with each heartbeat, every 15 s, whether the token is still good.
    expect(performance.now() - openedAt).toBeLessThan(12_000);
    expect((await EventStream.open({ token })).response.status).toBe(401);
  });

  test('ends whole when the service stops, which does not wait for its callers to go', async () => {
    const stream = await EventStream.open();
    await stream.take(1);
    await server.stop();
    while (await stream.next());
  });
});
