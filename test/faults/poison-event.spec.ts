import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JsonObject, type NewEvent, type RecordedEvent, seal } from '#events';
import { withEventLog } from '../support/audit.js';
import { type Answer, eventually, send } from '../support/http.js';
import { oauthErrorOf, oauthLogin } from '../support/login.js';
import { type NewClient, Portal, readAfter } from '../support/portal.js';
import { PROJECTIONS } from '../support/projections.js';
import { Standalone } from '../support/standalone.js';

jest.setTimeout(60_000);

let dataDir: string;
let standalone: Standalone;
let portal: Portal;
let poisoned: NewClient;
let other: NewClient;

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'poison-event-'));
  standalone = await Standalone.startReady({ dataDir });
  portal = Portal.of(standalone);
  for (const id of ['weather', 'tides']) await portal.register(id);
  [poisoned, other] = await Promise.all([portal.newClient(), portal.newClient('OAUTH2', 'Orders')]);
  await portal.assign(other.clientId, 'weather');
  await portal.assign(poisoned.clientId, 'tides');
  await portal.list({}, await portal.readNow());
}, 30_000);

afterEach(async () => {
  await standalone.kill();
  rmSync(dataDir, { recursive: true });
});

/** Appends to the client's stream what no command of this code would; answers its place as an error names it. */
const poison = ({ clientId }: NewClient, poisonAfter: (stream: readonly RecordedEvent[]) => NewEvent[]) =>
  withEventLog(dataDir, async (log) => {
    const stream = `consumerClient-${clientId}`;
    const known = await log.readStream(stream);
    const { revision, position } = await log.append(stream, BigInt(known.length - 1), poisonAfter(known));
    return `(${stream}, revision ${revision}, position ${position})`;
  });

/** Whole and well chained, but nothing is created twice. */
const createdAgain = (known: readonly RecordedEvent[]): NewEvent[] => {
  const [created, last] = [known[0], known.at(-1)] as [RecordedEvent, RecordedEvent];
  const event = { type: 'ConsumerClientCreated', data: created.data } as Parameters<typeof seal>[2][number];
  const link = { revision: last.revision, hash: last.metadata.hash };
  return seal(last.stream, link, [event], { ...created.metadata, commandId: randomUUID() }, last.metadata.occurredAt);
};

/** As a version of tomorrow might write it. */
const ofUnknownType = (known: readonly RecordedEvent[]): NewEvent[] => {
  const data: JsonObject = { to: 'elsewhere' };
  const [{ metadata }] = known.slice(-1) as [RecordedEvent];
  return [{ eventId: randomUUID(), type: 'ConsumerClientTeleported', data, metadata }];
};

/** Readiness is red because of exactly these. */
async function expectStopped(projections: readonly string[]): Promise<void> {
  const down = await eventually(
    async () => {
      const { status, text } = await send('GET', standalone.url, '/health/ready');
      const { checks } = JSON.parse(text) as { checks: Record<string, string> };
      return { status, down: Object.keys(checks).filter((name) => checks[name] === 'down') };
    },
    ({ down }) => down.length >= projections.length,
  );
  expect(down).toEqual({ status: 503, down: projections.map((name) => `projection ${name}`) });
  const { text } = await send('GET', standalone.url, '/metrics');
  for (const name of PROJECTIONS)
    expect(text).toContain(`projection_stopped{projection="${name}"} ${projections.includes(name) ? 1 : 0}`);
}

/** The log reaches us after the answers. */
const printed = (what: string) =>
  eventually(
    () => Promise.resolve(standalone.output()),
    (output) => output.includes(what),
  );

const expectBehind = (answer: Answer<unknown>): void => {
  expect([answer.refusal, answer.header('retry-after')]).toEqual(['503 READ_MODEL_BEHIND', '1']);
};

const restart = async (): Promise<void> => {
  expect(await standalone.stop()).toBe(0);
  standalone = await Standalone.start({ dataDir });
  portal = new Portal(standalone.url, portal.token);
};

it('an event that one projection can not fold stops that one, visibly, and nothing else', async () => {
  const place = await poison(poisoned, createdAgain);
  for (const life of ['as it comes', 'after a restart']) {
    await expectStopped(['clients']);
    await printed(`clients can't apply ConsumerClientCreated ${place}`);

    const renamed = await portal.rename(other.clientId, `Orders ${life}`);
    expect(renamed.status).toBe(200);
    const [client, clients, users] = await Promise.all([
      portal.get(other.clientId, readAfter(renamed)),
      portal.list({}, readAfter(renamed)),
      portal.clientsOf('weather', {}, readAfter(renamed)),
    ]);
    for (const answer of [client, clients, users]) expectBehind(answer);
    // Who asks for nothing new is answered with what was there before the event, which nothing has skipped.
    expect((await portal.get(other.clientId)).body.name).toBe('Orders');

    const history = await portal.wholeHistory(other.clientId, readAfter(renamed));
    expect(history.at(-1)?.data.name).toBe(`Orders ${life}`);
    expect((await portal.subscriptions({}, readAfter(renamed))).status).toBe(200);
    expect((await oauthLogin(standalone.url, other, 'weather')).status).toBe(200);
    await restart();
  }

  const ended = await portal.end('weather');
  expect(oauthErrorOf(await oauthLogin(standalone.url, other, 'weather')).error).toBe('unauthorized_client');
  await eventually(
    () => portal.wholeHistory(other.clientId, readAfter(ended)),
    (history) => history.at(-1)?.type === 'ConsumerClientUnassignedFromSubscription',
  );

  // Nobody can decide anything about the client itself, and so not unassign it.
  expect((await portal.end('tides')).status).toBe(200);
  await expectStopped(['clients', 'assignments']);
  await printed("assignments can't apply SubscriptionEnded (subscription-tides, revision 1, position ");
});

it('an event of an unknown type stops all who read the log, while logins and commands of other clients go on', async () => {
  const place = await poison(poisoned, ofUnknownType);
  for (const life of ['as it comes', 'after a restart']) {
    await expectStopped(PROJECTIONS);
    for (const name of PROJECTIONS) await printed(`${name} can't apply ConsumerClientTeleported ${place}`);

    const renamed = await portal.rename(other.clientId, `Orders ${life}`);
    expect(renamed.status).toBe(200);
    const queries = [
      portal.get(other.clientId, readAfter(renamed)),
      portal.history(other.clientId, {}, readAfter(renamed)),
      portal.subscriptions({}, readAfter(renamed)),
    ];
    for (const answer of await Promise.all(queries)) expectBehind(answer);
    expect((await portal.get(other.clientId)).body.name).toBe('Orders');

    expect((await oauthLogin(standalone.url, other, 'weather')).status).toBe(200);
    // It may have been the client's revocation.
    expect((await oauthLogin(standalone.url, poisoned)).status).toBe(500);
    await restart();
  }

  expect((await portal.end('weather')).status).toBe(200);
  expect(oauthErrorOf(await oauthLogin(standalone.url, other, 'weather')).error).toBe('unauthorized_client');
  expect((await portal.revoke(other.clientId)).status).toBe(200);
  expect(oauthErrorOf(await oauthLogin(standalone.url, other)).error).toBe('invalid_client');
});
