import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import type { ClientId } from '#domain';
import { eventually, send } from '../support/api/http.js';
import { oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { Portal } from '../support/api/portal.js';
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
  await portal.register('weather');
  await portal.register('tides');
  const [bad, good, other] = [await portal.newClient(), await portal.newClient(), await portal.newClient()];
  for (const { clientId } of [bad, good]) await portal.assign(clientId, 'weather');
  await portal.assign(other.clientId, 'tides');
  await server.stop();
  const repair = damage(bad.clientId);
  server = await Standalone.startReady({ dataDir });
  portal = Portal.of(server);

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
  await server.stop();
  repair();
  server = await Standalone.startReady({ dataDir });
  portal = Portal.of(server);
  await eventually(
    async () => (await portal.get(bad.clientId, await portal.readNow())).body.subscriptions.length,
    (left) => left === 0,
  );
  expect(await readiness()).toEqual([200, 'ready', 'up']);
});
