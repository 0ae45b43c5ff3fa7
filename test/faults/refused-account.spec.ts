import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { upcast } from '#events';
import {
  describeOnStandIn,
  type EventStore,
  type Refusal,
  startEventStore,
} from '../servers/eventstoredb/event-store.js';
import { GatewayDouble } from '../support/api/gateway.js';
import { type Answer, eventually, send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { basicOf, introspect } from '../support/api/oauth.js';
import { type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { PROJECTIONS } from '../support/processes/projections.js';
import { Standalone } from '../support/processes/standalone.js';

let eventStore: EventStore;
let standalone: Standalone;
let portal: Portal;
let client: NewClient;

beforeEach(async () => {
  eventStore = await startEventStore();
  standalone = await Standalone.startReady({ env: { EVENTSTOREDB_URL: eventStore.url } });
  portal = Portal.of(standalone);
  client = await portal.newClient('OAUTH2');
});
afterEach(async () => {
  await standalone.stop();
  await eventStore.stop();
});

const REFUSALS: readonly [what: string, refusal: Refusal][] = [
  ['the password', { status: 16, message: 'UNAUTHENTICATED' }],
  ['a right', { status: 7, message: 'Access Denied', trailers: { exception: 'access-denied' } }],
  ['every call, for a reason that we have never seen', { status: 12, message: 'Not in this version' }],
];

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly err?: { readonly message: string };
}

/** The lines that the process has logged at this level. */
const logged = (level: 'warn' | 'error') =>
  standalone
    .output()
    .split('\n')
    .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Line] : []))
    .filter((line) => line.level === level);

const readiness = async () => {
  const { status, text } = await send('GET', standalone.url, '/health/ready');
  const { checks } = JSON.parse(text) as { checks: Record<string, string> };
  return { status, down: Object.keys(checks).filter((name) => checks[name] === 'down') };
};

const successfulLogins = async () => {
  const log = openEventStoreDbLog({ url: eventStore.url });
  try {
    const events = (await log.readAll({ limit: Infinity })).map(upcast);
    return events
      .flatMap((event) => (event.type === 'UsageRecorded' ? event.data.entries : []))
      .filter(({ client: id, outcome }) => id === client.clientId && outcome === 'OK')
      .reduce((sum, { count }) => sum + count, 0);
  } finally {
    await log.close();
  }
};

describeOnStandIn('an event store that refuses', () => {
  it.each(REFUSALS)('%s is an outage: 503, red, told once, and over as soon as it is', async (_, refusal) => {
    const token = (await oauthLogin(standalone.url, client)).body.access_token;
    await eventStore.refuse(refusal);

    const projections = PROJECTIONS.map((name) => `projection ${name}`);
    const isRed = ({ down }: { down: string[] }) => ['event log', ...projections].every((name) => down.includes(name));
    expect((await eventually(readiness, isRed)).status).toBe(503);
    const ask = (): Promise<Answer<unknown>[]> =>
      Promise.all([
        portal.rename(client.clientId, 'While it is refused'),
        portal.create({ name: 'New', authenticationType: 'OAUTH2' }),
        oauthLogin(standalone.url, client),
        introspect(standalone.url, token, basicOf(client)),
      ]);
    for (const answer of await ask()) expect([answer.status, answer.header('retry-after')]).toEqual([503, '1']);
    expect(await new GatewayDouble(standalone).ask({ token })).toBe('503 UNAVAILABLE');
    expect(logged('error')).toEqual([]);
    expect(logged('warn').map(({ msg, err }) => [msg, err?.message])).toEqual([
      ['the event log can’t be used', expect.stringContaining(refusal.message)],
    ]);

    await eventStore.serveAgain();
    const renamed = await eventually(
      () => portal.rename(client.clientId, 'It is served again'),
      ({ status }) => status === 200,
    );
    const shown = await eventually(
      () => portal.get(client.clientId, readAfter(renamed)),
      ({ status }) => status === 200,
    );
    expect(shown.body.name).toBe('It is served again');
    await eventually(readiness, ({ status }) => status === 200);
    await oauthLogin(standalone.url, client);
    expect(await standalone.stop()).toBe(0);
    expect(await successfulLogins()).toBe(2);
    expect(logged('error')).toEqual([]);
  });
});
