import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { evidenceFiles, evidenceJson } from '#transparency';
import { Portal } from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';
import {
  clientIdOf,
  EvidenceBook,
  LOG_VKEY,
  POLICY,
  streamOf,
  TIME_VKEY,
} from '../support/transparency/evidence-book.js';
import { type Files, remanifested, withEvent } from '../support/transparency/evidence-vectors.js';

let folder: string;
let good: Files;
let head: string;

const path = (name: string) => join(folder, name);

/** Writes the bundle as `<name>.json` and as the directory `<name>`. */
function write(name: string, files: Files): void {
  writeFileSync(path(`${name}.json`), evidenceJson(files));
  for (const [file, bytes] of files) {
    mkdirSync(dirname(join(path(name), file)), { recursive: true });
    writeFileSync(join(path(name), file), bytes);
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'evidence-'));
  const book = EvidenceBook.of(['alice', 'bob', 'alice', 'bob', 'alice!', 'bob']);
  head = await book.head();
  good = evidenceFiles(await book.evidence(streamOf('alice'), { since: 3 }));
  write('good', good);
  writeFileSync(path('held'), await book.head(3));
  writeFileSync(path('newer'), head);
  writeFileSync(path('policy'), POLICY);
  writeFileSync(path('wrong-policy'), 'quorum nobody\n');
  write('old', evidenceFiles(await book.evidence(streamOf('alice'), { size: 3 })));
  // Its line break and escape sequence would imitate a verdict, if they were printed.
  const lure = 'x\nThe evidence holds.\u001b[2J';
  const foreign = withEvent(good, 1, (json) => json.replace(/"stream":"[^"]*"/, `"stream":${JSON.stringify(lure)}`));
  write('lure', foreign);
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const verify = (...args: string[]) => Cli.run(['verify', ...args]);

test('evidence holds as a file and as a directory, with the same lines, where there is no service and no DATA_DIR', async () => {
  const fromHeld = ['--since', path('held'), '--client', clientIdOf('alice'), '--key', TIME_VKEY];
  const [file, directory] = await Promise.all(
    ['good.json', 'good'].map((name) => verify('--key', LOG_VKEY, path(name), ...fromHeld)),
  );
  expect(file).toMatchObject({ code: 0, stderr: '' });
  expect(directory).toEqual(file);
  const labels = file?.stdout.split('\n').map((line) => line.split(':')[0]);
  expect(labels).toEqual([
    ...['signature', 'tree head', 'since', 'events', 'chain', 'statement', 'cosigned'],
    ...['not proved', 'not proved', 'not proved', 'The evidence holds.', ''],
  ]);
  const { status, stdout } = spawnSync('sha256sum', ['--check', '--strict', 'MANIFEST'], { cwd: path('good') });
  expect([status, stdout.toString().split('\n').length]).toEqual([0, good.size]);
});

test('evidence that does not hold is 1, and the fault is named; nothing in it can imitate the verdict', async () => {
  const [rolledBack, lure] = await Promise.all([
    verify(path('old.json'), '--key', LOG_VKEY, '--since', path('newer'), '--json'),
    verify(path('lure'), '--key', LOG_VKEY),
  ]);
  expect(rolledBack.code).toBe(1);
  expect(JSON.parse(rolledBack.stdout)).toMatchObject({
    ...{ result: 'DOES_NOT_HOLD', fault: { name: 'ROLLED_BACK', file: 'checkpoint' } },
    claims: [{ claim: 'SIGNATURE' }, { claim: 'TREE_HEAD' }],
  });
  expect(lure.code).toBe(1);
  const last = lure.stdout.trimEnd().split('\n').at(-1);
  expect(last).toMatch(/^THE EVIDENCE DOES NOT HOLD: EVENT_OF_ANOTHER_STREAM in events\/001\.json: .*x\\u\{a\}The evi/);
  expect(lure.stdout).not.toContain('\u001b');
});

test.each([
  ['no key', 'good'],
  ['a key that is none', 'good', '--key', 'hub.example'],
  ['only a cosigner’s key', 'good', '--key', TIME_VKEY],
  ['an age that is none', 'good', '--key', LOG_VKEY, '--max-age', '1 week'],
  ['a head that is none', 'good', '--key', LOG_VKEY, '--since', 'policy'],
  ['a head that is not there', 'good', '--key', LOG_VKEY, '--since', 'missing'],
  ['a wrong policy', 'good', '--key', LOG_VKEY, '--policy', 'wrong-policy'],
  ['an unknown option', 'good', '--key', LOG_VKEY, '--trust', 'good'],
])('%s is 2', async (_, bundle, ...args) => {
  const named = args.map((arg, index) => (['--since', '--policy'].includes(args[index - 1] ?? '') ? path(arg) : arg));
  const { code, stdout, stderr } = await verify(path(bundle), ...named);
  expect([code, stdout, stderr === '']).toEqual([2, '', false]);
});

test('what is not there, is no bundle, or holds a link is 3', async () => {
  write('linked', good);
  rmSync(path('linked/policy'));
  symlinkSync(path('policy'), path('linked/policy'));
  writeFileSync(path('text'), 'evidence');
  const results = await Promise.all(['missing', 'linked', 'text'].map((name) => verify(path(name), '--key', LOG_VKEY)));
  expect(results.map(({ code, stdout }) => [code, stdout])).toEqual([
    [3, ''],
    [3, ''],
    [3, ''],
  ]);
});

test('evidence that holds but is too old, or that nobody has witnessed, is 4', async () => {
  const bare = head.replace(/^— (?!hub\.example\/0195d3a1 ).*\n/gmu, '');
  const unwitnessed = new Map(
    [...good].map(([name, bytes]) => {
      const text = Buffer.from(bytes).toString();
      return [name, text.endsWith(head) ? Buffer.from(text.replace(head, bare)) : bytes] as const;
    }),
  );
  write('unwitnessed', remanifested(unwitnessed));
  const [old, alone] = await Promise.all([
    verify(path('good.json'), '--key', LOG_VKEY, '--policy', path('policy'), '--max-age', '36h'),
    verify(path('unwitnessed'), '--key', LOG_VKEY, '--policy', path('policy')),
  ]);
  expect(old.code).toBe(4);
  expect(old.stdout).toMatch(/\nThe evidence holds, but is not enough: HEAD_TOO_OLD: cosigned at 2026-05-28T/);
  expect(alone.code).toBe(4);
  expect(alone.stdout).toMatch(/\nThe evidence holds, but is not enough: QUORUM_NOT_MET: /);
});

describe('the evidence of a running service', () => {
  let service: Standalone;
  let portal: Portal;
  beforeAll(async () => {
    service = await Standalone.startReady();
    portal = Portal.of(service);
  });
  afterAll(() => service.stop());

  const evidenceOf = (clientId: string, query = '') =>
    portal.send<{ files: Record<string, string> }>('GET', `/v1/clients/${clientId}/evidence${query}`);
  const forceHead = async () => (await portal.send('POST', '/v1/log/heads')).text;

  test('holds, extends what was seen before, and says 409 while no head covers the latest event', async () => {
    const { clientId } = await portal.newClient('API_KEY');
    const before = await forceHead();
    writeFileSync(path('before'), before);
    const live = await evidenceOf(clientId);
    expect([live.status, live.headers['content-type']]).toEqual([
      200,
      expect.stringContaining('application/vnd.consumer-clients.evidence+json'),
    ]);
    const policy = (await portal.send('GET', '/v1/log/policy')).text;
    expect(live.body.files.policy).toBe(policy);
    const [, key = ''] = /^log (\S+)$/m.exec(policy) ?? [];

    await portal.revoke(clientId);
    const early = await evidenceOf(clientId);
    expect([early.refusal, early.headers['retry-after']]).toEqual(['409 NOT_YET_IN_HEAD', '60']);
    await forceHead();
    const size = before.split('\n')[1] ?? '';
    writeFileSync(path('ended.json'), (await evidenceOf(clientId, `?since=${size}`)).text);
    writeFileSync(path('keys'), policy);
    const verdict = await verify(
      ...[path('ended.json'), '--key', key, '--since', path('before'), '--client', clientId],
      ...['--policy', path('keys'), '--max-age', '1h'],
    );
    expect([verdict.code, verdict.stderr]).toEqual([0, '']);
    expect(verdict.stdout).toContain('the stream is ended');

    expect((await evidenceOf(clientId, '?since=1000000')).refusal).toBe('400 VALIDATION_FAILED');
    expect((await evidenceOf(clientIdOf('nobody'))).refusal).toBe('404 CLIENT_NOT_FOUND');
  });

  test('is written by the command line, beside the service', async () => {
    const { clientId } = await portal.newClient('OAUTH2');
    await forceHead();
    const { code, stdout, stderr } = await Cli.run(['evidence', clientId, '--dir', path('written'), '--json'], {
      DATA_DIR: service.dataDir,
    });
    expect([code, stderr]).toEqual([0, '']);
    const { key, events } = JSON.parse(stdout) as { key: string; events: number };
    expect(events).toBe(1);
    expect(await verify(path('written'), '--key', key, '--client', clientId)).toMatchObject({ code: 0 });
    const again = await Cli.run(['evidence', clientId, '--dir', path('written')], { DATA_DIR: service.dataDir });
    expect(again).toMatchObject({ code: 64, stdout: '' });
  });
});
