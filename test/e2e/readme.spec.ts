import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LoginAnswer } from '../support/api/login.js';
import type { ClientAnswer } from '../support/api/portal.js';
import { paste, shellBlocks } from '../support/processes/shell-blocks.js';

const ROOT = join(__dirname, '../..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/**
 * Starts the service as the README tells its reader after `npm ci`. npm gets its own process group, because npm does
 * not pass SIGTERM on to the service.
 */
const npmStart = async (dataDir: string): Promise<{ npm: ChildProcess; closed: Promise<unknown>; url: string }> => {
  const env = { ...process.env, PORT: '0', DATA_DIR: dataDir, LOG_LEVEL: 'silent' };
  const npm = spawn('npm', ['start'], { cwd: ROOT, env, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = once(npm, 'close');
  let welcome = '';
  for await (const line of createInterface({ input: npm.stderr })) {
    welcome += `${line}\n`;
    if (line.includes('token ')) break;
  }
  npm.stderr.resume();
  const [, url] = /^ {2}API +(\S+)\/v1$/m.exec(welcome) ?? [];
  if (url === undefined) throw new Error(`npm start did not become ready:\n${welcome}`);
  expect(welcome).toMatch(`  data     ${dataDir}\n  token    in ${dataDir}/admin.token\n`);
  return { npm, closed, url };
};

describe('A newcomer who follows the README', () => {
  let dataDir: string;
  let service: Awaited<ReturnType<typeof npmStart>>;

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
    service = await npmStart(dataDir);
  });

  afterAll(async () => {
    if (service.npm.pid !== undefined) process.kill(-service.npm.pid, 'SIGTERM');
    await service.closed;
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('starts it with npm start, pastes the tour, and sees the output that the README shows', async () => {
    expect(README).toContain('\nnpm ci && npm start\n');
    const tour = shellBlocks('README.md', 'A five-minute tour');
    const lines = await paste(tour, { BASE: service.url, DATA_DIR: dataDir }, [
      /^Token [\w-]+ is good until \S+Z\. To end it: consumer-clients tokens end [\w-]+$/,
    ]);
    const next = (): string => lines.shift() ?? '';
    const json = (): unknown => JSON.parse(next());
    const answer = () => json() as ClientAnswer;

    expect(json()).toMatchObject({ subscriptionId: 'acme-weather', endpointUri: 'acme-weather', status: 'LIVE' });

    const [, importer = '', apiKey = ''] = /^(cc_\w+) is to log in with (\S+)$/.exec(next()) ?? [];
    expect(Buffer.from(apiKey, 'base64').toString()).toMatch(new RegExp(`^${importer}:ccs_`));

    const created = answer();
    expect(created.client).toMatchObject({ clientId: importer, name: 'Forecast importer', revision: 0 });
    expect(answer()).toEqual(created);

    expect(answer().client.subscriptions).toMatchObject([{ subscriptionId: 'acme-weather' }]);
    const { access_token: staticToken, expires_in: year } = json() as LoginAnswer;
    expect(year).toBeGreaterThan(31_535_900);
    expect(json()).toEqual(JSON.parse(Buffer.from(staticToken.split('.')[1] ?? '', 'base64url').toString()));
    expect(next()).toBe('Two logins, one token');

    const { client: planner } = answer();
    expect(planner).toMatchObject({ name: 'Trip planner', subscriptions: [{ subscriptionId: 'acme-weather' }] });
    expect(json()).toMatchObject({ token_type: 'Bearer', expires_in: 300 });

    expect(next()).toBe('old secret: good for 300');
    expect(next()).toBe('new secret: good for 300');
    expect(answer().client.credentials).toMatchObject([{ generation: 2 }]);
    expect(json()).toMatchObject({ error: 'invalid_client' });

    const history = Array.from({ length: 4 }, next).map((line) => line.split(' '));
    expect(history.map(([, , , type]) => type)).toEqual([
      'ConsumerClientCreated',
      'ConsumerClientAssignedToSubscription',
      'ConsumerClientSecretRotated',
      'ConsumerClientCredentialRetired',
    ]);
    expect(history.map(([previous]) => previous)).toEqual([
      '00000000',
      ...history.slice(0, -1).map(([, , hash]) => hash),
    ]);

    expect(json()).toMatchObject({
      wouldLeave: [{ subscriptionId: 'acme-weather' }],
      wouldInvalidate: [1],
    });
    expect(answer().client).toMatchObject({ clientId: importer, status: 'REVOKED', subscriptions: [] });
    expect(json()).toMatchObject({ error: 'invalid_client' });

    expect(next()).toBe(`active: ${planner.clientId} Trip planner`);
    expect(next()).toBe(`revoked: ${importer} Forecast importer (The importer was retired)`);

    expect(next()).toBe('may read: Trip planner');
    expect(json()).toMatchObject({ status: 403, code: 'INSUFFICIENT_SCOPE' });
    expect(lines).toEqual([]);
  });
});
