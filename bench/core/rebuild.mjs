import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { seedMarketplace } from '../catch-up.mjs';
import { MeasuredStandalone } from '../processes.mjs';
import { ratioBelow, row } from '../report.mjs';
import { percentile } from '../rounds.mjs';
import { seedLargeLog } from '../seeding.mjs';
import { pacedLogins, warmLogins } from '../warm-logins.mjs';

const section = 'Warm logins during a rebuild, 200 a second';

/**
 * Measures how long logins take while the same process builds all read models anew, and how long they take afterwards.
 * Each round removes the read models, and starts the process again.
 */
export async function rebuild(bench) {
  bench.say('logins during a rebuild');
  const { clients, rounds, seconds } = bench.isQuick
    ? { clients: 100, rounds: 1, seconds: 0.2 }
    : { clients: 30_000, rounds: 3, seconds: 4 };
  const dataDir = bench.newFolder('rebuild');
  await seedLargeLog(join(dataDir, 'event-log.db'), (seeder) => seedMarketplace(seeder, clients));
  const during = [];
  const without = [];
  for (let round = 0; round < rounds; round++) {
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dataDir, `read-models.db${suffix}`), { force: true });
    const server = await MeasuredStandalone.start(bench, dataDir);
    const requests = await warmLogins(server);
    during.push(...(await pacedLogins(server, requests, seconds)));
    if (!bench.isQuick && (await server.isReady())) throw new Error('The rebuild ended before the logins; seed more');
    await server.caughtUp(0);
    without.push(...(await pacedLogins(server, requests, seconds)));
    await server.stop();
  }
  return [
    ['p50', 0.5, undefined],
    ['p99', 0.99, ratioBelow(1.5)],
  ].map(([name, fraction, target]) =>
    row({
      ...{ section, name: `client_credentials login, ${name}`, unit: 'ms', value: percentile(during, fraction) },
      ...{ against: 'after the rebuild', reference: percentile(without, fraction), target },
    }),
  );
}
