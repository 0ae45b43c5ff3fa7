import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

const ROOT = join(__dirname, '../..');

let service: Standalone;
let client: NewClient;
beforeAll(async () => {
  service = await Standalone.startReady();
  client = await Portal.of(service).newClient('OAUTH2');
});
afterAll(() => service.stop());

const cli = (...args: string[]) => Cli.run(args, { DATA_DIR: service.dataDir });

/** Runs a command with `--json`. Resolves to the document that it prints. */
const json = async (...args: string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await cli(...args, '--json');
  expect([args, code, code === 0 ? '' : stderr]).toEqual([args, 0, '']);
  return JSON.parse(stdout);
};

/** One call of each command that uses the data directory. */
const COMMANDS = [
  ['token', '--scope', 'clients:read'],
  ['admin-token', 'rotate'],
  ['clients', 'find'],
  ['clients', 'show', 'cc_0123456789abcdefghijkl'],
  ['clients', 'revoke', 'cc_0123456789abcdefghijkl', '--reason', 'An exercise'],
  ['keys', 'list'],
  ['keys', 'rotate'],
  ['keys', 'compromise', 'unknown'],
  ['master-key', 'rotate'],
  ['master-key', 'usage'],
  ['tokens', 'list'],
  ['tokens', 'end', '--all', '--yes'],
  ['log', 'quarantine', '--list'],
  ['log', 'adopt', '--list'],
  ['log', 'adopt', '--list-revoked'],
  ['backup', 'unused'],
  ['restore', 'unused'],
  ['history', 'cc_0123456789abcdefghijkl'],
  ['state', 'cc_0123456789abcdefghijkl'],
  ['diff', '--workspace', 'acme', '--from', '00000000000000000001'],
  ['access-review', 'unused', '--workspace', 'acme'],
  ['export', 'events', 'unused', '--workspace', 'acme'],
  ['evidence', 'cc_0123456789abcdefghijkl', '--file', 'unused'],
  ['projections', 'list'],
  ['projections', 'rebuild', 'clients'],
  ['projections', 'compare', 'clients'],
];

describe('the command line', () => {
  test('prints its version', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await cli('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    expect(JSON.parse((await cli('--json', '--version')).stdout)).toEqual({ version });
  });

  test('names the same exit codes in its help as in the operations guide', async () => {
    const { code, stdout } = await cli('--help');
    expect(code).toBe(0);
    const [, table = ''] = stdout.split('Exit codes:\n');
    const inHelp = [...table.matchAll(/^ {2}(\d+) +(.+)$/gm)].map(([, exitCode, meaning]) => [exitCode, meaning]);
    const guide = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
    const [, section = ''] = guide.split('## The command line\n');
    const [commandLine = ''] = section.split('\n## ');
    const inGuide = [...commandLine.matchAll(/^\| (\d+) +\| (.+?) +\|$/gm)].map(([, exitCode, meaning]) => [
      exitCode,
      meaning,
    ]);
    expect(inHelp.length).toBeGreaterThan(5);
    expect(inGuide).toEqual(inHelp);
  });

  const paths = COMMANDS.map((command) => command.slice(0, 2).filter((word) => !word.startsWith('-')));
  test.each([...paths, ['log', 'copy'], ['verify'], ['completion']])(
    'shows examples, options and --json in the help of %s %s',
    async (...path) => {
      const { code, stdout } = await Cli.run([...path, '--help']);
      expect(code).toBe(0);
      for (const part of ['Examples:', '--json', '--help']) expect(stdout).toContain(part);
    },
  );

  test.each([[], ['keys'], ['keys', 'lost'], ['keys', 'list', '--lost'], ['tokens', 'end'], ['log', 'quarantine']])(
    'ends with 64 if its arguments are wrong: %j %j %j',
    async (...args) => {
      expect(await cli(...args)).toMatchObject({ code: 64, stdout: '' });
    },
  );

  test.each(COMMANDS)('refuses a DATA_DIR that does not exist, and makes nothing: %s %s', async (...args) => {
    const mistyped = join(service.dataDir, 'mistyped');
    const { code, stdout, stderr } = await Cli.run(args, { DATA_DIR: mistyped });
    expect([code, stdout, stderr]).toEqual([78, '', `DATA_DIR names no directory: ${mistyped}\n`]);
    expect(existsSync(mistyped)).toBe(false);
  });

  test.each(COMMANDS)('refuses a DATA_DIR that holds no data, and makes nothing: %s %s', async (...args) => {
    const empty = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
    try {
      const { code, stdout, stderr } = await Cli.run(args, { DATA_DIR: empty });
      expect([code, stdout, stderr]).toEqual([78, '', expect.stringMatching(/^DATA_DIR has no .+\n$/)]);
      expect(readdirSync(empty)).toEqual([]);
    } finally {
      rmSync(empty, { recursive: true });
    }
  });
});

test('a log in an SQLite file need not be adopted, and the command line says so', async () => {
  const { code, stderr } = await cli('log', 'adopt', '--reason', 'The backup of Sunday');
  expect([code, stderr]).toEqual([64, expect.stringMatching(/^An SQLite log need not be adopted: .+\n$/)]);
  expect(await json('log', 'adopt', '--list')).toEqual([]);
});

test.each<[option: string, command: string[]]>([
  ['--reason', ['log', 'quarantine', 'endpointUri-x']],
  ['--reason', ['clients', 'revoke', 'cc_0123456789abcdefghijkl']],
  ['--reason', ['keys', 'rotate']],
  ['--reason', ['tokens', 'end', '--all', '--yes']],
  ['--subject', ['admin-token', 'rotate']],
  ['--operator', ['token', '--workspace', 'acme', '--scope', 'audit:read']],
])('a text that can’t be kept is refused in words that name the option %s', async (option, command) => {
  for (const [text, rule] of [
    [' ', /characters/],
    ['x'.repeat(501), /characters/],
    ['\u001b[2Jx', /must not hold control characters/],
  ] as const) {
    const { code, stdout, stderr } = await cli(...command, option, text);
    expect([code, stdout, stderr]).toEqual([64, '', expect.stringMatching(rule)]);
    expect(stderr).toContain(`option '${option} <`);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  }
});

describe('the completion', () => {
  const isInstalled = (shell: string) => spawnSync(shell, ['-c', 'exit 0']).status === 0;
  const scriptFor = async (shell: string) => (await Cli.run(['completion', shell])).stdout;

  test('for bash completes commands, options and the names of shells', async () => {
    const script = await scriptFor('bash');
    const completed = (...words: string[]) => {
      const line = words.map((word) => `'${word}'`).join(' ');
      const call = `COMP_WORDS=(consumer-clients ${line}); COMP_CWORD=${words.length}; _consumer_clients`;
      const { stdout, stderr } = spawnSync('bash', ['-c', `${script}\n${call}; echo "\${COMPREPLY[@]}"`], {
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      return stdout.trim();
    };
    expect(completed('proj')).toBe('projections');
    expect(completed('projections', 're')).toBe('rebuild');
    expect(completed('--json', 'tokens', 'end', '--cl')).toBe('--client');
    expect(completed('keys', 'list', '--js')).toBe('--json');
    expect(completed('completion', 'z')).toBe('zsh');
    expect(completed('keys', 'tokens', 'e')).toBe('');
  });

  test.each(['zsh', 'fish'])('for %s is a valid script that names every command', async (shell) => {
    const script = await scriptFor(shell);
    for (const command of ['projections', 'quarantine', '--issued-before']) expect(script).toContain(command);
    if (!isInstalled(shell)) return;
    expect(spawnSync(shell, ['-n', '-c', script], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('with --json, the command line prints one document', () => {
  test('of keys, without their private parts', async () => {
    const [key] = (await json('keys', 'list')) as object[];
    expect(Object.keys(key ?? {}).sort()).toEqual(['activatedAt', 'alg', 'kid', 'publishedAt', 'status']);
    expect(await json('master-key', 'usage')).toEqual({
      masterKeys: [{ id: expect.any(String) as string, role: 'current', credentials: 1, signingKeys: 1 }],
      notUnderstood: {},
    });
    expect(await json('master-key', 'rotate')).toEqual({ rewrapped: 0 });
  });

  test('of tokens', async () => {
    expect(await json('token', '--scope', 'clients:read')).toEqual({
      token: expect.stringMatching(/^ey/) as string,
      tokenId: expect.any(String) as string,
      expiresAt: expect.any(String) as string,
    });
    expect(await json('tokens', 'list')).toMatchObject([{ tokenSubject: 'cli', status: 'GOOD' }]);
    expect(await json('admin-token', 'rotate')).toEqual({ path: join(service.dataDir, 'admin.token') });
    expect(await json('tokens', 'end', '--client', client.clientId)).toEqual({
      ...{ clients: 1, ended: 1, repeated: 0, failed: 0 },
      run: expect.any(String) as string,
    });
  });

  test('of the log and the projections', async () => {
    expect(await json('log', 'quarantine', '--list')).toEqual([]);
    expect(await json('log', 'adopt', '--list')).toEqual([]);
    expect(await json('log', 'adopt', '--list-revoked')).toEqual({ lost: [], unreadable: [] });
    expect(await json('projections', 'compare', 'subscriptions')).toEqual({
      ...{ projection: 'subscriptions', documents: 0, different: 0, examples: [], cuts: [] },
    });
    expect(await json('projections', 'list')).toContainEqual(
      expect.objectContaining({ projection: 'clients', build: expect.stringMatching(/^clients_v/) as string }),
    );
  });
});

describe('in an emergency, an operator', () => {
  const UNKNOWN = 'cc_0123456789abcdefghijkl';

  test('finds clients by the beginning of their names, in one workspace or in all', async () => {
    const portal = Portal.of(service);
    const stranger = await Portal.of(service, { workspaceId: 'globex' }).newClient('OAUTH2');
    await portal.rename(client.clientId, 'Zebra importer');
    await Portal.of(service, { workspaceId: 'globex' }).rename(stranger.clientId, 'Zebra planner');
    const idsOf = async (...options: string[]) => {
      const found = (await json('clients', 'find', 'ZEBRA', ...options)) as { clientId: string }[];
      return found.map(({ clientId }) => clientId).sort();
    };
    await eventually(
      () => idsOf(),
      ({ length }) => length === 2,
    );
    expect(await idsOf()).toEqual([client.clientId, stranger.clientId].sort());
    expect(await idsOf('--workspace', 'globex')).toEqual([stranger.clientId]);
    const limited = await cli('clients', 'find', 'zebra', '--limit', '1');
    expect([limited.stdout.split('\n').length, limited.stderr]).toEqual([3, expect.stringContaining('more')]);
    expect(await cli('clients', 'find', 'Nobody')).toEqual({ code: 0, stdout: '', stderr: 'No client was found\n' });
  });

  test('sees a client as the log has it, without the verifiers of its secrets', async () => {
    await Portal.of(service).register('sub_weather', { endpointUri: 'acme-weather' });
    await Portal.of(service).assign(client.clientId, 'sub_weather');
    expect(await json('clients', 'show', client.clientId)).toMatchObject({
      ...{ clientId: client.clientId, workspaceId: 'acme', status: 'ACTIVE', authenticationType: 'OAUTH2' },
      labels: {},
      credentials: [{ generation: 1, hint: client.secret.slice(4, 8) }],
      subscriptions: [{ subscriptionId: 'sub_weather', endpointUri: 'acme-weather' }],
    });
    const { stdout } = await cli('clients', 'show', client.clientId);
    expect(stdout).toContain('subscription sub_weather  acme-weather');
    expect(stdout).toContain(`begins with ccs_${client.secret.slice(4, 8)}\n`);
    expect(stdout).not.toContain('argon2');
    expect((await cli('clients', 'show', UNKNOWN)).code).toBe(4);
    expect((await cli('clients', 'show', 'nobody')).code).toBe(64);
  });

  test('revokes a client, which is refused from then on, and the history says who did it', async () => {
    const revoked = await Portal.of(service).newClient('OAUTH2');
    expect((await oauthLogin(service.url, revoked)).status).toBe(200);
    expect((await cli('clients', 'revoke', revoked.clientId, '--reason', ' ')).code).toBe(64);
    const revoke = () => json('clients', 'revoke', revoked.clientId, '--reason', 'Leaked', '--subject', 'jane');
    expect([await revoke(), await revoke()]).toEqual([
      { clientId: revoked.clientId, isNew: true },
      { clientId: revoked.clientId, isNew: false },
    ]);
    expect((await oauthLogin(service.url, revoked)).status).toBe(401);
    const history = await Portal.of(service).wholeHistory(revoked.clientId, await Portal.of(service).readNow());
    expect(history.at(-1)).toMatchObject({
      ...{ type: 'ConsumerClientRevoked', workspaceId: 'acme' },
      actor: { subject: 'jane', via: 'cli' },
    });
    expect((await cli('clients', 'revoke', UNKNOWN, '--reason', 'Leaked')).code).toBe(4);
  });
});
