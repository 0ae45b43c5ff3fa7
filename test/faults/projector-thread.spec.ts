import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { PROJECTIONS } from '../support/processes/projections.js';
import { Standalone } from '../support/processes/standalone.js';

let folder: string;
let dataDir: string;
let orders: string;
let standalone: Standalone;
let portal: Portal;
let client: NewClient;

const start = async () => {
  const preload = join(__dirname, '../support/doubles/disturbed-thread.js');
  const env = { NODE_OPTIONS: `--require ${preload}`, PROJECTOR_THREAD_FILE: orders };
  standalone = await Standalone.startReady({ dataDir, env });
  portal = new Portal(standalone.url, Portal.of(standalone).token);
};
/** Makes the projector's thread stand still, or throw an error with this text. */
const order = (what: string) => {
  writeFileSync(orders, what);
};
const obeyNoMore = () => {
  rmSync(orders, { force: true });
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'projector-thread-'));
  dataDir = join(folder, 'data');
  orders = join(folder, 'orders');
  await start();
  client = await portal.newClient('OAUTH2');
  await portal.get(client.clientId, await portal.readNow());
});
afterEach(async () => {
  await standalone.kill();
  rmSync(folder, { recursive: true });
});

const readiness = async () => {
  const { status, text } = await send('GET', standalone.url, '/health/ready');
  const { checks } = JSON.parse(text) as { checks: Record<string, string> };
  return { status, down: Object.keys(checks).filter((name) => checks[name] === 'down') };
};
const positions = async () =>
  (await send('GET', standalone.url, '/metrics')).text.match(/^projection_position\{.*$/gm) ?? [];

it('while the projector is stuck, logins and commands go on, readiness is red, and no outdated figure is shown', async () => {
  order('stuck');
  const { status, down } = await eventually(readiness, (found) => found.down.includes('projector thread'));
  expect(status).toBe(503);
  expect(down.sort()).toEqual(
    [...PROJECTIONS.map((name) => `projection ${name}`), 'process managers', 'projector thread'].sort(),
  );
  expect(await positions()).toEqual([]);

  const renamed = await portal.rename(client.clientId, 'Renamed meanwhile');
  expect(renamed.status).toBe(200);
  expect((await oauthLogin(standalone.url, client)).status).toBe(200);
  expect((await portal.get(client.clientId, readAfter(renamed))).refusal).toBe('503 READ_MODEL_BEHIND');
  expect((await portal.get(client.clientId)).body.name).not.toBe('Renamed meanwhile');

  obeyNoMore();
  await standalone.ready();
  expect((await portal.get(client.clientId, readAfter(renamed))).body.name).toBe('Renamed meanwhile');
  expect(await positions()).toHaveLength(PROJECTIONS.length);
});

it('an error of the projector is logged by its name, without a stack if it is an outage', async () => {
  for (const suffix of ['-wal', '-shm', '']) rmSync(join(dataDir, `read-models.db${suffix}`), { force: true });
  writeFileSync(join(dataDir, 'read-models.db'), 'garbage '.repeat(1_000));
  const line = /^\{.*"store":"read store".*"msg":"the read store can’t be used".*$/m;
  await standalone.printed(line);
  const [found = ''] = line.exec(standalone.output()) ?? [];
  const { err } = JSON.parse(found) as { err: Record<string, string> };
  expect(err).toMatchObject({ type: 'ReadStoreUnavailable', name: 'ReadStoreUnavailable', kind: 'unavailable' });
  expect(err.message).toContain('read-models.db');
  expect(err).not.toHaveProperty('stack');
});

it('told to stop while the projector is stuck, the process ends with 1, and nothing acknowledged is lost', async () => {
  order('stuck');
  await eventually(readiness, (found) => found.down.includes('projector thread'));
  const renamed = await portal.rename(client.clientId, 'Renamed meanwhile');
  expect(await standalone.stop()).toBe(1);
  expect(standalone.output()).toContain("The projector's thread did not stop within");
  obeyNoMore();
  await start();
  expect((await portal.get(client.clientId, readAfter(renamed))).body.name).toBe('Renamed meanwhile');
});

it('an unexpected error of the projector ends the process with 1 and one line, and a restart goes on', async () => {
  const renamed = await portal.rename(client.clientId, 'Renamed before');
  order('an unexpected error');
  await eventually(
    () => Promise.resolve(standalone.child.exitCode),
    (code) => code !== null,
  );
  expect(await standalone.stop()).toBe(1);
  const fatal = standalone
    .output()
    .split('\n')
    .filter((line) => /"level":"(error|fatal)"/.test(line));
  expect(fatal).toEqual([expect.stringContaining('an unexpected error')]);
  expect(JSON.parse(fatal[0] ?? '')).toMatchObject({ dependency: 'projector thread' });
  obeyNoMore();
  await start();
  expect((await portal.get(client.clientId, readAfter(renamed))).body.name).toBe('Renamed before');
});
