import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { startEventStore } from '../servers/eventstoredb/event-store.js';
import { inDatabase, startMongo } from '../servers/mongodb/launch.js';
import { Standalone } from '../support/processes/standalone.js';

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
  // We kill the whole process group, because the servers that the bench started belong to the group.
  if (bench?.pid !== undefined && bench.exitCode === null) process.kill(-bench.pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** Runs `npm run bench -- …`. Resolves to the exit code and the output. */
const runBench = (...options: string[]) => run(['bench/main.mjs', ...options]);

async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  bench = spawn(process.execPath, args, {
    ...{ cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
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
  expect(sections.size).toBe(6);
  for (const { section, name, value, reference = 1 } of report.rows) {
    expect(stdout).toContain(section);
    expect(stdout).toContain(name);
    expect(value).toBeGreaterThan(0);
    expect(reference).toBeGreaterThan(0);
  }
  expect(readFileSync(PUBLISHED, 'utf8')).toBe(published);
  expect(leftovers()).toEqual([]);
});

test('the benchmark of authentication measures every row, and no revoked client gets in', async () => {
  const out = join(folder, 'auth.json');
  const { stdout, stderr, code } = await runBench('auth', '--quick', '--out', out);
  expect([code, stderr]).toEqual([0, expect.stringContaining('… revocations')]);
  const { rows } = JSON.parse(readFileSync(out, 'utf8')) as { rows: Row[] };
  expect(new Set(rows.map(({ section }) => section)).size).toBe(5);
  expect(rows.find(({ name }) => name.startsWith('logins accepted'))).toMatchObject({ value: 0, met: true });
  for (const { name } of rows) expect(stdout).toContain(name);
  expect(leftovers()).toEqual([]);
});

test('the benchmark of scale seeds as many clients as asked for, measures every row, and cleans up', async () => {
  const out = join(folder, 'scale.json');
  const { stdout, stderr, code } = await runBench('scale', '--quick', '--clients', '150', '--out', out);
  expect([code, stderr]).toEqual([0, expect.stringContaining('seeding 150 clients')]);
  const { rows } = JSON.parse(readFileSync(out, 'utf8')) as { rows: Row[] };
  expect(new Set(rows.map(({ section }) => section)).size).toBe(4);
  for (const { name, value } of rows) {
    expect(stdout).toContain(name);
    expect(value).toBeGreaterThan(0);
  }
  expect(leftovers()).toEqual([]);
});

test('a warm login and a gateway check call no more functions than the limit, and the list names them', async () => {
  const out = join(folder, 'functions.json');
  const { stdout, code } = await runBench('functions', '--list', '--out', out);
  const { rows } = JSON.parse(readFileSync(out, 'utf8')) as { rows: (Row & { met: boolean })[] };
  expect(rows.map(({ name, met }) => [name, met])).toEqual([
    ['client_credentials login', true],
    ['client_credentials login, files', true],
    ['gateway check', true],
    ['gateway check, files', true],
  ]);
  const listed = stdout.split('\n').filter((line) => /^ {2}(apps|libs)\//.test(line));
  expect(listed).toHaveLength((rows[0]?.value ?? 0) + (rows[2]?.value ?? 0));
  expect(listed).toEqual(expect.arrayContaining([expect.stringMatching(/^ {2}libs\/tokens\/.* issueAccessToken$/)]));
  expect(code).toBe(0);
  expect(leftovers()).toEqual([]);
});

test('the benchmark of the production stores measures every row, and can be run again on the same servers', async () => {
  const [store, mongo] = await Promise.all([startEventStore(), startMongo()]);
  const client = new MongoClient(mongo.url);
  const databases = async () =>
    (await client.db('admin').admin().listDatabases({ nameOnly: true })).databases.map(({ name }) => name);
  const MONGODB_URL = inDatabase(mongo.url, 'of_another_program');
  const out = join(folder, 'stores.json');
  try {
    for (const time of ['first', 'second']) {
      const args = ['bench/main.mjs', 'stores', '--quick', '--out', out];
      const { stdout, stderr, code } = await run(args, { EVENTSTOREDB_URL: store.url, MONGODB_URL });
      expect([time, code, stderr]).toEqual([time, 0, expect.stringContaining('… 20 ms away from EventStoreDB')]);
      const { rows } = JSON.parse(readFileSync(out, 'utf8')) as { rows: Row[] };
      expect(new Set(rows.map(({ section }) => section)).size).toBe(6);
      for (const { name } of rows) expect(stdout).toContain(name);
    }
    expect(leftovers()).toEqual([]);
    expect((await databases()).filter((name) => /^(bench|of_another_program)/.test(name))).toEqual([]);
  } finally {
    await client.close();
    await Promise.all([store.stop(), mongo.stop()]);
  }
}, 600_000);

test('a suite fails when a program that it needs fails, and the error shows what the program printed', async () => {
  const [dataDir, otherDataDir] = [join(folder, 'a log'), join(folder, 'another key')];
  mkdirSync(otherDataDir);
  const standalone = await Standalone.startReady({ dataDir });
  await standalone.stop();
  copyFileSync(join(dataDir, 'event-log.db'), join(otherDataDir, 'event-log.db'));
  // The second service gets a master key of its own, which is not the key of the copied log.
  const script = `
    import { Bench } from './bench/bench.mjs';
    import { MeasuredStandalone } from './bench/processes.mjs';
    const bench = new Bench({ quick: true });
    const suite = async () => {
      await MeasuredStandalone.start(bench, process.env.OTHER_DATA_DIR);
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    };
    await bench.run(suite).finally(() => bench.end());
  `;
  const { code, stderr } = await run(['--input-type=module', '--eval', script], { OTHER_DATA_DIR: otherDataDir });
  expect([code, stderr]).toEqual([1, expect.stringMatching(/standalone ended with 1:[^]*MASTER_KEY/)]);
  expect(leftovers()).toEqual([]);
});

test('an unknown suite is refused, and the message lists the known ones', async () => {
  const { code, stderr } = await runBench('speed');
  expect(code).toBe(1);
  expect(stderr).toContain('No suite speed; there are: core');
});
