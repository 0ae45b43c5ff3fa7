import { statSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { clientIdOf } from '#domain';
import { openSqliteEventLog } from '#event-log/sqlite';
import { verifyChain } from '#events';
import { MeasuredStandalone } from '../processes.mjs';
import { below, row } from '../report.mjs';
import { seedLargeLog } from '../seeding.mjs';
import { endSubscription } from './ending.mjs';
import { lists } from './lists.mjs';
import { logins } from './logins.mjs';
import { seedMarketplace, subscriptionNamed } from './marketplace.mjs';

const MEGABYTE = 1e6;
const LONGEST_BUILD_SECONDS = 7200;

/**
 * Measures the standalone with a large marketplace: 1,000,000 clients, or as many as `--clients` says. A marketplace of
 * a hundredth of this size is measured in the same run for comparison.
 */
export async function scale(bench) {
  const size = bench.clients ?? (bench.isQuick ? 200 : 1_000_000);
  const section = `A marketplace of ${size.toLocaleString('en')} clients`;
  const small = await seeded(bench, Math.max(100, Math.round(size / 100)));
  const large = await seeded(bench, size);
  const rows = [
    row({ section, name: 'seeding', unit: 'events/s', value: large.events / large.seconds }),
    row({
      ...{ section, name: 'log on disk', unit: 'bytes/event' },
      value: bytesOf(large.dataDir, 'event-log.db') / large.events,
    }),
  ];

  bench.say(`first build of ${large.events} events`);
  const { server: builder, seconds: build } = await started(bench, large);
  rows.push(
    row({ section, name: 'start to ready: first build of all read models', unit: 's', value: build }),
    row({ section, name: 'first build', unit: 'events/s', value: large.events / build }),
    row({
      ...{ section, name: 'resident memory after the build', unit: 'MB', value: await residentMemory(builder) },
      target: below(400, 'MB'),
    }),
  );
  await builder.stop();
  rows.push(
    row({
      ...{ section, name: 'read models on disk', unit: 'bytes/client' },
      value: bytesOf(large.dataDir, 'read-models.db') / size,
    }),
  );

  bench.say('start, everything built');
  const { server, seconds: start } = await started(bench, large);
  await delay(bench.isQuick ? 100 : 10_000);
  rows.push(
    row({
      ...{ section, name: 'start to ready: everything built', unit: 's', value: start },
      target: below(3, 's'),
    }),
    row({
      ...{ section, name: 'resident memory, idle', unit: 'MB', value: await residentMemory(server) },
      target: below(250, 'MB'),
    }),
  );

  const { server: reference } = await started(bench, small);
  const stages = { bench, large: { server, ...large }, small: { server: reference, ...small } };
  for (const part of [lists, logins]) rows.push(...(await part(stages)));
  await reference.stop();
  rows.push(...(await ending(bench, server, large)));
  await server.stop();
  return rows;
}

const ENDED = 1;
const BYSTANDERS = 16;

/** Ends one of the subscriptions, while clients without a subscription are renamed. */
async function ending(bench, server, { file, assigned }) {
  bench.say('the end of a subscription');
  const others = [];
  for (let number = 0; number < BYSTANDERS; number++) {
    const body = { name: `Bystander ${number}`, authenticationType: 'API_KEY' };
    others.push((await server.json('POST', '/v1/clients', body)).client.clientId);
  }
  const log = await openSqliteEventLog({ file });
  try {
    return await endSubscription({
      ...{ server, log, others, subscriptionId: subscriptionNamed(ENDED), clients: assigned[ENDED] },
      seconds: bench.isQuick ? 0.3 : 5,
    });
  } finally {
    await log.close();
  }
}

async function seeded(bench, size) {
  bench.say(`seeding ${size} clients`);
  const dataDir = bench.newFolder('scale');
  const file = join(dataDir, 'event-log.db');
  const startedAt = performance.now();
  const { events, assigned } = await seedLargeLog(file, (seeder) => seedMarketplace(seeder, size));
  const seconds = (performance.now() - startedAt) / 1000;
  const log = await openSqliteEventLog({ file });
  try {
    const [last] = await log.readAll({ direction: 'backwards', limit: 1 });
    await requireSoundChain(log, last.stream);
    return { size, dataDir, file, events, assigned, seconds, end: last.position, clientId: clientIdOf(last.stream) };
  } finally {
    await log.close();
  }
}

/** The seeded events must be those that the service itself would have written. */
async function requireSoundChain(log, stream) {
  const verdict = await verifyChain(stream, await log.readStream(stream));
  if (!verdict.whole)
    throw new Error(`The chain of ${stream} has a fault at revision ${verdict.revision}: ${verdict.fault}`);
}

/** Starts the standalone. Returns it when all read models are served, and the seconds until then. */
async function started(bench, { dataDir, end: position }) {
  const startedAt = performance.now();
  const server = await MeasuredStandalone.start(bench, dataDir);
  await server.caughtUp(position, LONGEST_BUILD_SECONDS);
  return { server, seconds: (performance.now() - startedAt) / 1000 };
}

async function residentMemory(server) {
  const [bytes] = await server.metric('process_resident_memory_bytes');
  return bytes / MEGABYTE;
}

const bytesOf = (dataDir, file) => statSync(join(dataDir, file)).size;
