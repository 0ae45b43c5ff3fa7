import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { send } from '../support/api/http.js';
import type { ClientAnswer } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const SECONDS = 120;

/** Whether schemathesis is installed (`pip install schemathesis`; .ci/run does it). */
function hasSchemathesis(): boolean {
  try {
    execFileSync('st', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const story = hasSchemathesis() ? it : it.skip;

describe('The service', () => {
  let service: Standalone;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'schemathesis-'));
    service = await Standalone.startReady({
      env: {
        RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '0',
        RATE_LIMIT_LOGIN_PER_ADDRESS: '0',
        RATE_LIMIT_LOGIN_PER_CLIENT: '0',
      },
    });
  });

  afterAll(async () => {
    await service.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The environment of schemathesis.toml: the administrator's token, the gateways' secret, and a client's. */
  const secrets = async () => {
    // The document is built at the first request, which takes longer than schemathesis waits on a busy machine.
    await send('GET', service.url, '/openapi.json');
    const headers = { authorization: `Bearer ${service.adminToken}`, 'x-workspace-id': 'acme' };
    const body = { name: 'Client that schemathesis logs in', authenticationType: 'OAUTH2' };
    const { body: made } = await send<ClientAnswer>('POST', service.url, '/v1/clients', { headers, body });
    return {
      ...process.env,
      TOKEN: service.adminToken,
      GATEWAY_SECRET: readFileSync(join(service.dataDir, 'gateway.secret'), 'utf8').trim(),
      CLIENT_ID: made.client.clientId,
      CLIENT_SECRET: made.credential?.clientSecret,
    };
  };

  story(`does what its OpenAPI document says, in requests that schemathesis makes up for ${SECONDS} s`, async () => {
    const config = join(__dirname, 'schemathesis.toml');
    const args = [
      ...['-n', '10', 'st', '--config-file', config, 'run', `${service.url}/openapi.json`],
      ...['--checks', 'all', '--max-time', String(SECONDS), '--no-color'],
    ];
    const ran = await promisify(execFile)('nice', args, {
      cwd: directory,
      env: await secrets(),
      maxBuffer: 2 ** 26,
    }).catch((error: unknown) => error as { stdout: string; stderr: string });
    const output = `${ran.stdout}${ran.stderr}`;
    const [, passed = '0'] = /(\d+) generated, \1 passed/.exec(output) ?? [];
    if (Number(passed) < 100) throw new Error(output);
  });
});
