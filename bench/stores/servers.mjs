import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { on, once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startMongo } from '../../test/servers/mongodb/launch.js';
import { Program } from '../../test/support/processes/program.js';

const STAND_IN = fileURLToPath(new URL('../../test/servers/eventstoredb/server.mjs', import.meta.url));

/**
 * Returns the server at `EVENTSTOREDB_URL`. Without that variable, starts a stand-in for EventStoreDB. The stand-in's
 * file is in the folder of this run.
 */
export async function eventStoreDb(bench) {
  const { EVENTSTOREDB_URL: url } = process.env;
  if (url) return logAt(url, 'EventStoreDB');
  const file = join(bench.newFolder('eventstoredb'), 'events.jsonl');
  const child = spawn(process.execPath, [STAND_IN, '--file', file, '--linger-ms', '0'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  bench.atEnd(() => ended(child));
  // The stand-in also sends messages about its role in a cluster. Such messages have no port.
  for await (const [{ port }] of on(child, 'message', { close: ['exit'] })) {
    if (port !== undefined) return logAt(`esdb://127.0.0.1:${port}?tls=false`, 'stand-in');
  }
  throw new Error('The stand-in ended before it listened');
}

/**
 * A log on the server with this connection string, and the master key with which it is begun. `environment` is for the
 * programs that use the log. Its prefix makes a log of its own for this run, so that the server may hold other logs, also
 * those of earlier runs.
 */
const logAt = (url, name) => ({
  ...{ url, name, masterKey: randomBytes(32).toString('base64') },
  environment: { EVENTSTOREDB_URL: url, EVENTSTOREDB_PREFIX: `bench-${randomUUID().slice(0, 8)}-` },
});

/** Returns host and port of the only node in a connection string, or `undefined` if it names several nodes. */
export function addressOf(url) {
  const [, host, port = '2113'] = /^[a-z]+:\/\/(?:[^@/]*@)?([^:,/?]+)(?::(\d+))?(?:[/?]|$)/.exec(url) ?? [];
  return host && { host, port: Number(port) };
}

/** Returns the same log, at another address. */
export function atAddress({ url, environment, ...log }, address) {
  const moved = url.replace(/^([a-z]+:\/\/(?:[^@/]*@)?)[^/?]+/, `$1${address}`);
  return { ...log, url: moved, environment: { ...environment, EVENTSTOREDB_URL: moved } };
}

/**
 * Returns the URL of a MongoDB server: of the server at `MONGODB_URL`, or else of a started `mongod` or
 * mongo-java-server.
 */
export async function mongoDb(bench) {
  const server = await startMongo();
  bench.atEnd(() => server.stop());
  return server.url;
}

/** Starts a program of `apps/` as a process. Resolves with the program's URL when the program listens. */
export async function startApp(bench, name, environment) {
  const program = await Program.launch(name, { env: { LOG_LEVEL: 'silent', ...environment } });
  bench.keep(program, name);
  return program.url;
}

async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
