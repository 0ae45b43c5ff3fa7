import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import type { ClientId } from '#domain';
import { eventually, send } from '../support/api/http.js';
import { oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { type AccessReviewManifest, Portal } from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

let dataDir: string;
let server: Standalone;

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'unreadable-client-'));
  server = await Standalone.startReady({ dataDir });
});
afterEach(async () => {
  await server.stop();
  rmSync(dataDir, { recursive: true });
});

/** Replaces the data of the client's first event in the file, as a fault of the disk might. Returns how to repair it. */
const damage = (clientId: ClientId): (() => void) => {
  const stream = `consumerClient-${clientId}`;
  const replace = (text: string): string => {
    const db = new Database(join(dataDir, 'event-log.db'));
    db.exec('DROP TRIGGER IF EXISTS events_are_never_changed');
    const select = db.prepare('SELECT data FROM events WHERE stream = ? AND revision = 0').raw();
    const [before] = select.get([stream]) as [string];
    db.prepare('UPDATE events SET data = ? WHERE stream = ? AND revision = 0').run([text, stream]);
    db.close();
    return before;
  };
  const intact = replace('{"clientId": ');
  return () => void replace(intact);
};

/** What each answer about a whole workspace says of the client. */
const mentionsOf = async (portal: Portal, clientId: string, since: string, endpointUri: string) => {
  const rows = (await portal.accessReview({ format: 'ndjson' })).text.trimEnd().split('\n');
  const review = rows.map((line) => JSON.parse(line) as Record<string, unknown>);
  const row = review.find((each) => each.clientId === clientId);
  const manifest = (await portal.accessReview<AccessReviewManifest>({ format: 'manifest' })).body;
  const { items, unreadable } = (await portal.couldCall({ endpointUri })).body;
  const diff = (await portal.diff({ from: since })).body.items;
  const changed = diff.find(({ stream }) => stream === `consumerClient-${clientId}`);
  return {
    reviewed: [row?.reason, row?.wouldLogIn, manifest.unreadableRows, review.length - 1],
    couldCall: [unreadable, items.map((each) => each.clientId)],
    changed: [changed?.unreadable, changed?.changes, diff.length - 1],
  };
};

const readiness = () =>
  send<{ status: string; checks: Record<string, string> }>('GET', server.url, '/health/ready').then(
    ({ status, body }) => [status, body.status, body.checks['process managers']],
  );
const metric = async (name: string) => {
  const { text } = await send('GET', server.url, '/metrics');
  return Number(new RegExp(`^${name}\\{.*\\} (\\S+)$`, 'm').exec(text)?.[1]);
};

it('a client that can’t be unassigned makes readiness amber, and delays no other client, until it can be read again', async () => {
  let portal = Portal.of(server);
  const before = (await portal.register('weather')).header('x-consistency-token').split('@')[1] ?? '';
  await portal.register('tides');
  const [bad, good, other] = [await portal.newClient(), await portal.newClient(), await portal.newClient()];
  for (const { clientId } of [bad, good]) await portal.assign(clientId, 'weather');
  await portal.assign(other.clientId, 'tides');
  await server.stop();
  const repair = damage(bad.clientId);
  server = await Standalone.startReady({ dataDir });
  portal = Portal.of(server);

  expect(await mentionsOf(portal, bad.clientId, before, 'weather')).toEqual({
    reviewed: ['UNREADABLE', null, 1, 2],
    couldCall: [[{ clientId: bad.clientId, reason: 'UNREADABLE' }], [good.clientId]],
    changed: ['UNREADABLE', [], 3],
  });

  await portal.end('weather');
  await eventually(readiness, ([, , managers]) => managers === 'degraded');
  expect(await readiness()).toEqual([200, 'degraded', 'degraded']);
  expect([await metric('process_manager_failing'), await metric('process_manager_failing_for_long')]).toEqual([1, 1]);
  expect(await metric('process_manager_failed_attempts_total')).toBeGreaterThanOrEqual(10);
  await server.printed(`${bad.clientId} of weather`);
  expect((await portal.get(good.clientId, await portal.readNow())).body.subscriptions).toEqual([]);
  expect(oauthErrorOf(await oauthLogin(server.url, good, 'weather'))).toMatchObject({ error: 'unauthorized_client' });

  await portal.end('tides');
  await eventually(
    async () => (await portal.get(other.clientId, await portal.readNow())).body.subscriptions.length,
    (left) => left === 0,
  );
  const quarantine = ['log', 'quarantine', `consumerClient-${bad.clientId}`];
  const operator = { DATA_DIR: dataDir };
  expect(await Cli.run([...quarantine, '--reason', 'Damaged by the disk'], operator)).toMatchObject({ code: 0 });
  expect(await mentionsOf(portal, bad.clientId, before, 'tides')).toMatchObject({
    reviewed: ['QUARANTINED', false, 1, 2],
    changed: ['QUARANTINED', [], expect.any(Number)],
  });
  await server.stop();
  repair();
  expect(await Cli.run([...quarantine, '--lift', '--grace', '0'], operator)).toMatchObject({ code: 0 });
  server = await Standalone.startReady({ dataDir });
  portal = Portal.of(server);
  await eventually(
    async () => (await portal.get(bad.clientId, await portal.readNow())).body.subscriptions.length,
    (left) => left === 0,
  );
  expect(await readiness()).toEqual([200, 'ready', 'up']);
});
