import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
const PUBLISHED = join(ROOT, 'docs/benchmarks.md');

interface Row {
  readonly section: string;
  readonly name: string;
  readonly value: number;
  readonly reference?: number;
}

let folder: string;
let bench: ChildProcess | undefined;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-'));
});
afterAll(() => {
  // With the servers that it started: they are of its group.
  if (bench?.pid !== undefined && bench.exitCode === null) process.kill(-bench.pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** `npm run bench -- …`, and all that it printed. */
async function runBench(...options: string[]) {
  bench = spawn(process.execPath, ['bench/main.mjs', ...options], {
    ...{ cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  });
  const exited = once(bench, 'exit');
  const [stdout, stderr] = await Promise.all([printed(bench.stdout), printed(bench.stderr)]);
  await exited;
  return { stdout, stderr, code: bench.exitCode };
}

const printed = async (stream: NodeJS.ReadableStream | null): Promise<string> => {
  let text = '';
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
};

const leftovers = () => readdirSync(join(ROOT, 'data')).filter((name) => name.startsWith('bench-'));

test('a quick benchmark measures every row, prints and saves them, and leaves the published figures alone', async () => {
  const published = readFileSync(PUBLISHED, 'utf8');
  const out = join(folder, 'report.json');
  const { stdout, stderr, code } = await runBench('--quick', '--out', out);
  expect([code, stderr]).toEqual([0, expect.not.stringMatching(/warning|error/i)]);
  const report = JSON.parse(readFileSync(out, 'utf8')) as { suite: string; quick: boolean; rows: Row[] };
  expect(report).toMatchObject({ suite: 'core', quick: true, environment: { node: process.version } });
  const sections = new Set(report.rows.map(({ section }) => section));
  expect(sections.size).toBe(5);
  for (const { section, name, value, reference = 1 } of report.rows) {
    expect(stdout).toContain(section);
    expect(stdout).toContain(name);
    expect(value).toBeGreaterThan(0);
    expect(reference).toBeGreaterThan(0);
  }
  expect(readFileSync(PUBLISHED, 'utf8')).toBe(published);
  expect(leftovers()).toEqual([]);
}, 120_000);

test('the benchmark of authentication measures every row, and finds no revoked client let in', async () => {
  const out = join(folder, 'auth.json');
  const { stdout, stderr, code } = await runBench('auth', '--quick', '--out', out);
  expect([code, stderr]).toEqual([0, expect.stringContaining('… revocations')]);
  const { rows } = JSON.parse(readFileSync(out, 'utf8')) as { rows: Row[] };
  expect(new Set(rows.map(({ section }) => section)).size).toBe(5);
  expect(rows.find(({ name }) => name.startsWith('logins accepted'))).toMatchObject({ value: 0, met: true });
  for (const { name } of rows) expect(stdout).toContain(name);
  expect(leftovers()).toEqual([]);
}, 120_000);

test('an unknown suite is refused by the names of those that there are', async () => {
  const { code, stderr } = await runBench('speed');
  expect(code).toBe(1);
  expect(stderr).toContain('No suite speed; there are: core');
});
