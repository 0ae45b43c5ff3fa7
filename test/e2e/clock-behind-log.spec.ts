import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { Portal } from '../support/api/portal.js';
import { ProgramClock } from '../support/doubles/program-clock.js';
import { Standalone } from '../support/processes/standalone.js';

/** A process with a clock of its own. All processes of a test use one event log in an SQLite file. */
interface Node {
  readonly clock: ProgramClock;
  readonly server: Standalone;
  readonly portal: Portal;
}

let dataDir: string;
let nodes: Node[];

const startNode = async ({ ahead }: { ahead: number }): Promise<Node> => {
  const clock = new ProgramClock();
  clock.set(ahead);
  const server = await Standalone.startReady({ dataDir, env: clock.env });
  const node = { clock, server, portal: Portal.of(server) };
  nodes.push(node);
  return node;
};

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  nodes = [];
});

afterEach(async () => {
  for (const { server, clock } of nodes) {
    await server.stop();
    clock.remove();
  }
  rmSync(dataDir, { recursive: true });
});

/** Resolves to the status code, the status, and the result for the event log in the answer of `/health/ready`. */
const health = async ({ server }: Node) => {
  const { status, body } = await send<{ status: string; checks: Record<string, string> }>(
    'GET',
    server.url,
    '/health/ready',
  );
  return [status, body.status, body.checks['event log']];
};
const READY = [200, 'ready', 'up'];
const DEGRADED = [200, 'degraded', 'degraded'];

const clockBehindSeconds = async ({ server }: Node) => {
  const { text } = await send('GET', server.url, '/metrics');
  return Number(/^event_log_clock_behind_seconds (\S+)$/m.exec(text)?.[1]);
};
const warningsOf = ({ server }: Node) =>
  server
    .output()
    .split('\n')
    .filter((line) => line.includes('behind the latest event of the log')).length;

test('a clock that falls behind the log is reported once, and the service keeps working', async () => {
  const node = await startNode({ ahead: 600 });
  const client = await node.portal.newClient('OAUTH2');
  expect(await health(node)).toEqual(READY);
  expect(await clockBehindSeconds(node)).toBe(0);

  node.clock.set(0);
  for (let time = 0; time < 3; time++) expect(await health(node)).toEqual(DEGRADED);
  const seconds = await clockBehindSeconds(node);
  expect(seconds).toBeGreaterThan(540);
  expect(seconds).toBeLessThanOrEqual(600);
  expect((await node.portal.rename(client.clientId, 'Renamed')).status).toBe(200);
  const another = await node.portal.newClient('OAUTH2');
  expect((await oauthLogin(node.server.url, another)).status).toBe(200);
  // The last event carries the right time now. An earlier one still lies in the future.
  expect(await health(node)).toEqual(DEGRADED);
  expect(warningsOf(node)).toBe(1);

  node.clock.set(660);
  expect(await health(node)).toEqual(READY);
  expect(await clockBehindSeconds(node)).toBe(0);
});

test('an event from a clock that was far ahead hides a later fault of the clock for 100 events at most', async () => {
  const node = await startNode({ ahead: 3000 });
  const { clientId: fromFuture } = await node.portal.newClient('OAUTH2');
  node.clock.set(0);
  const { clientId } = await node.portal.newClient('OAUTH2');
  for (let n = 0; n < 99; n++) {
    expect((await node.portal.rename(clientId, `Client ${n}`)).status).toBe(200);
    if (n % 40 === 0) expect(await health(node)).toEqual(DEGRADED);
  }
  expect(await health(node)).toEqual(READY);
  // The time of this event is raised to that of the client's creation, which tells nothing about any clock now.
  expect((await node.portal.rename(fromFuture, 'Renamed')).status).toBe(200);
  expect(await health(node)).toEqual(READY);
  expect(await health(await startNode({ ahead: 0 }))).toEqual(READY);

  node.clock.set(-600);
  expect(await health(node)).toEqual(DEGRADED);
  expect(await clockBehindSeconds(node)).toBeGreaterThan(540);
  expect(await clockBehindSeconds(node)).toBeLessThanOrEqual(600);
});

test('a difference of at most 5 s is not reported', async () => {
  const node = await startNode({ ahead: 4 });
  await node.portal.newClient('OAUTH2');
  node.clock.set(0);
  expect(await health(node)).toEqual(READY);
});

test('a process whose clock is behind the log is degraded from its start on', async () => {
  const node = await startNode({ ahead: 600 });
  await node.portal.newClient('OAUTH2');
  expect(await health(await startNode({ ahead: 0 }))).toEqual(DEGRADED);
  expect(await health(node)).toEqual(READY);
});

test('a process notices at its next append that another process wrote an event from its future', async () => {
  const [here, there] = [await startNode({ ahead: 0 }), await startNode({ ahead: 0 })];
  there.clock.set(600);
  await there.portal.newClient('OAUTH2');
  there.clock.set(0);
  await there.portal.newClient('OAUTH2');
  await here.portal.newClient('OAUTH2');
  expect(await health(here)).toEqual(DEGRADED);
});
