// Stands for an installed EventStoreDB in tests of the launcher: `node fake-eventstored.mjs --insecure --db=… …`. It
// takes the options that the launcher needs, refuses all others as the real program does, and runs the stand-in.
// FAKE_VERSION: its version. FAKE_START_MS: how long it takes to start. FAKE_ELECTION_MS: how long an election takes.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { behaviourOf } from './versions.mjs';

const { FAKE_VERSION: version = '23.10.8', FAKE_START_MS: startMs = '0', FAKE_ELECTION_MS: electionMs } = process.env;
const { isSince } = behaviourOf(version);
const known = new Set([
  ...['version', 'insecure', 'db', 'log', 'cluster-size', 'discover-via-dns', 'gossip-seed', 'max-append-size'],
  ...(isSince(25, 0) ? [] : ['http-port', 'ext-ip', 'int-ip', 'int-tcp-port']),
  ...(isSince(23, 10) ? ['node-port', 'node-ip', 'replication-ip', 'replication-port'] : []),
]);

const fail = (message) => {
  console.log(message);
  process.exit(1);
};

const options = {};
for (const argument of process.argv.slice(2)) {
  const [, name, value = 'true'] = /^--([a-z-]+)(?:=(.*))?$/.exec(argument) ?? fail(`${argument} is no option`);
  if (!known.has(name)) fail(`The option ${name} is not a known option.`);
  options[name] = value;
}

if (options.version) {
  console.log(`${isSince(25, 0) ? 'KurrentDB' : 'EventStoreDB'} version ${version} (oss-v${version}/0123456, Unknown)`);
  process.exit(0);
}
if (options.insecure !== 'true') fail('A certificate is required unless insecure mode is enabled.');
if (options['cluster-size'] && options['discover-via-dns'] !== 'false') fail('Could not resolve fake.dns');
if (!options.log) fail('Access to the path /var/log/eventstore is denied.');

await delay(Number(startMs));
mkdirSync(options.db, { recursive: true });
const seeds = options['gossip-seed']?.split(',') ?? [];
process.argv = [
  process.execPath,
  fileURLToPath(import.meta.resolve('./server.mjs')),
  ...['--version', version, '--file', join(options.db, 'events.jsonl')],
  ...['--port', options['node-port'] ?? options['http-port']],
  ...seeds.flatMap((seed) => ['--peer', seed.replace('127.0.0.1:', '')]),
  ...(options['max-append-size'] ? ['--max-append-bytes', options['max-append-size']] : []),
  ...(electionMs ? ['--election-ms', electionMs] : []),
];
await import('./server.mjs');
