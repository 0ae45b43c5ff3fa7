import { spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const { startMongo } = createRequire(import.meta.url)('../../test/support/mongodb/launch.js');
const STAND_IN = fileURLToPath(new URL('../../test/support/eventstoredb/server.mjs', import.meta.url));

/** `EVENTSTOREDB_URL`, or the stand-in with its file among the other files of this run. Answers its connection string. */
export async function eventStoreDb(bench) {
  const { EVENTSTOREDB_URL: url } = process.env;
  if (url) return { url, name: 'EventStoreDB' };
  const file = join(bench.newFolder('eventstoredb'), 'events.jsonl');
  const child = spawn(process.execPath, [STAND_IN, '--file', file, '--linger-ms', '0'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  bench.atEnd(() => ended(child));
  // It tells of its role, too.
  for await (const [{ port }] of on(child, 'message', { close: ['exit'] })) {
    if (port !== undefined) return { url: `esdb://127.0.0.1:${port}?tls=false`, name: 'stand-in' };
  }
  throw new Error('The stand-in ended before it listened');
}

/** `MONGODB_URL`, `mongod`, or mongo-java-server. */
export async function mongoDb(bench) {
  const server = await startMongo();
  bench.atEnd(() => server.stop());
  return server.url;
}

/** A program of `apps/` in a process of its own; resolves when it listens. */
export async function startApp(bench, name, environment) {
  const program = fileURLToPath(new URL(`../../dist/apps/${name}/src/main.js`, import.meta.url));
  const child = spawn(process.execPath, [program], {
    env: { PATH: process.env.PATH, PORT: '0', LOG_LEVEL: 'silent', ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  bench.atEnd(() => ended(child));
  for await (const line of createInterface({ input: child.stderr })) {
    const [, url] = /(http:\S+)/.exec(line) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`${name} ended before it listened`);
}

async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
