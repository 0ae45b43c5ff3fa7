import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientId } from '#domain';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { CloudEvent } from '#feeds';
import { eventually, send } from '../support/api/http.js';
import { metricOf } from '../support/api/metrics.js';
import { Portal } from '../support/api/portal.js';
import { appendLongClient } from '../support/events/long-client.js';
import { Standalone } from '../support/processes/standalone.js';

/** Number of events of the workspace in the log before the service starts. */
const EVENTS = 100_000;
const CLIENTS = 20;
/** After how many events a consumer, and after how many the service is killed. */
const CONSUMER_LIVES = 15_000;
const SERVICE_LIVES = 40_000;

let dataDir: string;
let server: Standalone;
let portal: Portal;
let past: readonly string[];

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'feed-kills-'));
  // It makes the keys of the log.
  await (await Standalone.startReady({ dataDir })).stop();
  const log = await openSqliteEventLog({ file: join(dataDir, 'event-log.db') });
  const ids = Array.from({ length: CLIENTS }, (): ClientId => `cc_${randomUUID().replaceAll('-', '').slice(0, 22)}`);
  await Promise.all(ids.map((id) => appendLongClient(log, id, EVENTS / CLIENTS)));
  const found: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await log.readAll({ ...(after !== undefined && { after }), limit: 5_000 });
    after = page.at(-1)?.position;
    found.push(...page.filter(({ stream }) => stream.startsWith('consumerClient-')).map(({ eventId }) => eventId));
    if (page.length < 5_000) break;
  }
  past = found;
  await log.close();
  server = await Standalone.start({ dataDir });
  await server.ready(300);
  portal = Portal.of(server);
});

afterAll(async () => {
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

/** Kills the service once, when one of the consumers has come so far. */
let killed: Promise<void> | undefined;
const killOnce = (): Promise<void> =>
  (killed ??= (async () => {
    await server.kill();
    server = await Standalone.start({ dataDir });
    await server.ready(300);
    portal = Portal.of(server);
  })());

/** What a consumer has stored: it survives its kills. */
class Store {
  readonly ids: string[] = [];
  last = '';

  add({ id, sequence, source }: CloudEvent): void {
    if (source.endsWith('/treeHeads')) return;
    if (sequence <= this.last) throw new Error(`${sequence} came after ${this.last}`);
    this.ids.push(id);
    this.last = sequence;
  }
}

/** Reads a stream of server-sent events until it has stored so many events, then drops the connection. */
function readStream(store: Store, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${portal.token}`,
      accept: 'text/event-stream',
      ...(store.last !== '' && { 'last-event-id': store.last }),
    };
    const outgoing = request(`${server.url}/v1/events`, { headers, agent: false }, (incoming) => {
      if (incoming.statusCode !== 200) {
        incoming.resume();
        reject(new Error(`Answered ${String(incoming.statusCode)}`));
        return;
      }
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk: string) => {
        const messages = (text + chunk).split('\n\n');
        text = messages.pop() ?? '';
        for (const message of messages) {
          const [, data] = /^id: \d+\ndata: (.*)$/.exec(message) ?? [];
          if (data !== undefined && store.ids.length < count) store.add(JSON.parse(data) as CloudEvent);
        }
        if (store.ids.length >= count) outgoing.destroy();
      });
      incoming.on('close', resolve);
      incoming.on('error', () => undefined);
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const again = <T>(work: () => Promise<T>): Promise<T | undefined> => work().catch(() => undefined);

async function consumeStream(store: Store, total: number): Promise<void> {
  while (store.ids.length < total) {
    await again(() => readStream(store, Math.min(store.ids.length + CONSUMER_LIVES, total)));
    if (store.ids.length >= SERVICE_LIVES) await killOnce();
  }
}

async function consumePages(store: Store, total: number): Promise<void> {
  let path = '/v1/events?limit=200';
  while (store.ids.length < total) {
    const headers = { authorization: `Bearer ${portal.token}` };
    const page = await again(() => send<CloudEvent[]>('GET', server.url, path, { headers }));
    if (page?.status !== 200) {
      await killed;
      continue;
    }
    for (const event of page.body) store.add(event);
    [, path = ''] = /^<(.*)>; rel="next"$/.exec(page.header('link')) ?? [];
  }
}

test('each consumer gets 100,000 events and more once and in order, although it and the service are killed', async () => {
  const [byStream, byPages] = [new Store(), new Store()];
  const reading = Promise.all([consumeStream(byStream, EVENTS + 100), consumePages(byPages, EVENTS + 100)]);
  const written = (async () => {
    await eventually(
      () => Promise.resolve(byStream.ids.length),
      (count) => count >= SERVICE_LIVES,
    );
    await killOnce();
    const { clientId } = await portal.newClient();
    for (let each = 1; each < 100; each += 1) expect((await portal.rename(clientId, `Name ${each}`)).status).toBe(200);
  })();
  await Promise.all([reading, written]);
  expect(byStream.ids.slice(0, EVENTS)).toEqual(past);
  expect(new Set(byStream.ids).size).toBe(EVENTS + 100);
  expect(byPages.ids).toEqual(byStream.ids);
});

test('a caller that stops reading holds up neither the others nor a command, and costs the service nothing', async () => {
  const headers = { authorization: `Bearer ${portal.token}`, accept: 'text/event-stream' };
  const stuck = await Promise.all(
    Array.from(
      { length: 10 },
      () =>
        new Promise<IncomingMessage>((resolve, reject) => {
          const outgoing = request(`${server.url}/v1/events`, { headers, agent: false }, (incoming) => {
            incoming.pause();
            incoming.on('error', () => undefined);
            resolve(incoming);
          });
          outgoing.on('error', reject);
          outgoing.end();
        }),
    ),
  );
  const store = new Store();
  await readStream(store, EVENTS);
  expect(store.ids).toEqual(past);
  const { clientId } = await portal.newClient();
  expect((await portal.get(clientId, await portal.readNow())).status).toBe(200);
  await eventually(
    () => metricOf(server.url, 'event_streams_open'),
    (open) => open === 10,
  );
  for (const each of stuck) each.destroy();
});
