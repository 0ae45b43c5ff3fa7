import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JsonObject, type NewEvent, type RecordedEvent, seal } from '#events';
import { type Answer, eventually, send } from '../support/api/http.js';
import { oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { withEventLog } from '../support/events/audit.js';
import { Cli } from '../support/processes/cli.js';
import { PROJECTIONS } from '../support/processes/projections.js';
import { Standalone } from '../support/processes/standalone.js';

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
  for (const { clientId } of [poisoned, other]) await portal.assign(clientId, 'tides');
  await portal.list({}, await portal.readNow());
});

afterEach(async () => {
  await standalone.kill();
  rmSync(dataDir, { recursive: true });
});

/**
 * Appends events that no command of this code writes. Resolves to the stream, revision and position that the append
 * returned, written as in our error messages.
 */
const poison = ({ clientId }: NewClient, poisonAfter: (stream: readonly RecordedEvent[]) => NewEvent[]) =>
  withEventLog(dataDir, async (log) => {
    const stream = `consumerClient-${clientId}`;
    const known = await log.readStream(stream);
    const { revision, position } = await log.append(stream, BigInt(known.length - 1), poisonAfter(known));
    return `(${stream}, revision ${revision}, position ${position})`;
  });

/**
 * Makes a well-formed event with a valid hash. The event is still wrong, because it creates a client that exists
 * already.
 */
const createdAgain = (known: readonly RecordedEvent[]): NewEvent[] => {
  const [created, last] = [known[0], known.at(-1)] as [RecordedEvent, RecordedEvent];
  const event = { type: 'ConsumerClientCreated', data: created.data } as object as Parameters<typeof seal>[2][number];
  const link = { revision: last.revision, hash: last.metadata.hash };
  return seal(last.stream, link, [event], { ...created.metadata, commandId: randomUUID() }, last.metadata.occurredAt);
};

/** Makes an event that a future version of our code might write. */
const ofUnknownType = (known: readonly RecordedEvent[]): NewEvent[] => {
  const data: JsonObject = { to: 'elsewhere' };
  const [{ metadata }] = known.slice(-1) as [RecordedEvent];
  return [{ eventId: randomUUID(), type: 'ConsumerClientTeleported', data, metadata }];
};

/** Expects that exactly these projections have stopped, and that the readiness check reports them as down. */
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

const expectBehind = (answer: Answer<unknown>): void => {
  expect([answer.refusal, answer.header('retry-after')]).toEqual(['503 READ_MODEL_BEHIND', '1']);
};

const restart = async (): Promise<void> => {
  expect(await standalone.stop()).toBe(0);
  standalone = await Standalone.start({ dataDir });
  portal = new Portal(standalone.url, portal.token);
};

it('an event that one projection can’t fold visibly stops that projection, and nothing else', async () => {
  const place = await poison(poisoned, createdAgain);
  for (const life of ['as it comes', 'after a restart']) {
    await expectStopped(['clients']);
    await standalone.printed(`clients can't apply ConsumerClientCreated ${place}`);

    const renamed = await portal.rename(other.clientId, `Orders ${life}`);
    expect(renamed.status).toBe(200);
    const [client, clients, users] = await Promise.all([
      portal.get(other.clientId, readAfter(renamed)),
      portal.list({}, readAfter(renamed)),
      portal.clientsOf('weather', {}, readAfter(renamed)),
    ]);
    for (const answer of [client, clients, users]) expectBehind(answer);
    // A query without a consistency token still returns the state from before the event: the projection has stopped at
    // the event and has not skipped the event.
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

  // No command on the poisoned client can be decided, so the process manager puts this client aside, and goes on.
  const endedToo = await portal.end('tides');
  await eventually(
    () => portal.wholeHistory(other.clientId, readAfter(endedToo)),
    (history) => history.at(-1)?.data.subscriptionId === 'tides',
  );
  await standalone.printed(
    `"clientId":"${poisoned.clientId}","subscriptionId":"tides","msg":"work of the process manager failed`,
  );
  await expectStopped(['clients']);
  const { text } = await send('GET', standalone.url, '/metrics');
  expect(text).toContain('process_manager_failing{manager="subscription-ends"} 1');
});

/** The projections that fold the streams of clients. */
const OF_CLIENTS = ['clients', 'history', 'assignments'];

it('an event of an unknown type in a client’s stream stops each projection of clients, while all others, and logins and commands of other clients, go on', async () => {
  const place = await poison(poisoned, ofUnknownType);
  for (const life of ['as it comes', 'after a restart']) {
    await expectStopped(OF_CLIENTS);
    for (const name of OF_CLIENTS) await standalone.printed(`${name} can't apply ConsumerClientTeleported ${place}`);

    const renamed = await portal.rename(other.clientId, `Orders ${life}`);
    expect(renamed.status).toBe(200);
    const queries = [
      portal.get(other.clientId, readAfter(renamed)),
      portal.history(other.clientId, {}, readAfter(renamed)),
    ];
    for (const answer of await Promise.all(queries)) expectBehind(answer);
    expect((await portal.subscriptions({}, readAfter(renamed))).status).toBe(200);
    expect((await portal.get(other.clientId)).body.name).toBe('Orders');

    expect((await oauthLogin(standalone.url, other, 'weather')).status).toBe(200);
    // The unknown event might revoke the client, so the client's logins must fail.
    expect((await oauthLogin(standalone.url, poisoned)).status).toBe(500);
    await restart();
  }

  expect((await portal.end('weather')).status).toBe(200);
  expect(oauthErrorOf(await oauthLogin(standalone.url, other, 'weather')).error).toBe('unauthorized_client');
  expect((await portal.revoke(other.clientId)).status).toBe(200);
  expect(oauthErrorOf(await oauthLogin(standalone.url, other)).error).toBe('invalid_client');
});

it.each([
  ['can’t be folded', createdAgain],
  ['is of an unknown type', ofUnknownType],
])('the tokens of all other clients can be ended although an event of one client %s', async (_, poisonAfter) => {
  await poison(poisoned, poisonAfter);
  const env = { DATA_DIR: dataDir };
  const run = randomUUID();
  const { code, stdout, stderr } = await Cli.run(['tokens', 'end', '--all', '--yes', '--run', run], env);
  expect([code, stdout]).toEqual([5, expect.stringContaining(' clients, 1 ended\n')]);
  expect(stderr).toContain(`${poisoned.clientId} failed: `);
  expect(stderr).toMatch(new RegExp(`Not ended: the tokens of \\d+ clients?. Repeat it with --run ${run}`));
  const ofOther = await withEventLog(dataDir, (log) => log.readStream(`consumerClient-${other.clientId}`));
  expect(ofOther.at(-1)?.type).toBe('ConsumerClientTokensEnded');
  const again = await Cli.run(['tokens', 'end', '--all', '--yes', '--run', run], env);
  expect([again.code, again.stdout]).toEqual([5, expect.stringContaining(' clients, 0 ended\n')]);
});
