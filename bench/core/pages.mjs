import { join } from 'node:path';
import { openSqliteEventLog } from '#event-log/sqlite';
import { Connection } from '../load.mjs';
import { walkList } from '../pages.mjs';
import { MeasuredStandalone } from '../processes.mjs';
import { ratioBelow, row } from '../report.mjs';
import { alternate, percentile } from '../rounds.mjs';
import { appendedSince, seedLog } from '../seeding.mjs';

const section = 'Pages of 50 clients';

/** Lists that users ask for. Each round reads the first pages of each list. */
const LISTS = [
  '/v1/clients?sort=createdAt',
  '/v1/clients?sort=createdAt&order=desc',
  '/v1/clients?sort=name',
  '/v1/clients?name=importer%201',
  '/v1/clients?authenticationType=API_KEY&sort=name&order=desc',
  '/v1/subscriptions/weather-3/clients',
];
const PAGES_DEEP = 5;

export async function pages(bench) {
  const { sizes, rounds } = bench.isQuick ? { sizes: [20, 200], rounds: 1 } : { sizes: [1_000, 100_000], rounds: 40 };
  const servers = [];
  for (const size of sizes) {
    bench.say(`pages of ${size} clients`);
    servers.push(await startOn(bench, size));
  }
  // We connect only after all servers have started, because a server closes idle connections.
  const stages = await Promise.all(
    servers.map(async (server) => ({ server, connection: await Connection.open(server.url) })),
  );
  const [small, large] = sizes.map(String);
  const measured = await alternate(rounds, {
    [small]: () => walkLists(stages[0]),
    [large]: () => walkLists(stages[1]),
  });
  await Promise.all(stages.map(({ server }) => server.stop()));
  const figure = (size, fraction) => percentile(measured[size].flat(), fraction);
  return [
    ['p50', 0.5, undefined],
    ['p99', 0.99, ratioBelow(2)],
  ].map(([name, fraction, target]) =>
    row({
      ...{ section, name: `${name}, ${Number(large).toLocaleString('en')} clients`, unit: 'ms' },
      ...{ value: figure(large, fraction), reference: figure(small, fraction), target },
      against: `${Number(small).toLocaleString('en')} clients`,
    }),
  );
}

/**
 * Starts a standalone process (all apps in one) with `size` clients. Resolves when the process's read models have
 * caught up.
 */
async function startOn(bench, size) {
  const dataDir = bench.newFolder('pages');
  const file = join(dataDir, 'event-log.db');
  await seedLog(file, (seeder) => seedClients(seeder, size));
  const log = await openSqliteEventLog({ file });
  const { end } = await appendedSince(log);
  await log.close();
  const server = await MeasuredStandalone.start(bench, dataDir);
  await server.caughtUp(end);
  return server;
}

const SUBSCRIPTIONS = 10;

async function seedClients(seeder, count) {
  for (let index = 0; index < SUBSCRIPTIONS; index++) await seeder.registerSubscription(`weather-${index}`);
  for (let index = 0; index < count; index++) {
    const clientId = await seeder.createClient(`Importer ${index}`, index % 2 ? 'OAUTH2' : 'API_KEY');
    await seeder.assign(clientId, `weather-${index % SUBSCRIPTIONS}`);
  }
}

async function walkLists(stage) {
  const times = [];
  for (const list of LISTS) times.push(...(await walkList(stage, list, PAGES_DEEP)));
  return times;
}
