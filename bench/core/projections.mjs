import { join } from 'node:path';
import { openSqliteReadStore } from '#read-models/sqlite';
import { measureCatchUp } from '../catch-up.mjs';
import { ratioAtLeast, row } from '../report.mjs';

const section = 'Projection catch-up';

/** All projections at once on a fresh read store, against the very writes that they make, without log and fold. */
export async function projections(bench) {
  bench.say('projections');
  const { events, documents, seconds } = await measureCatchUp(bench, {
    ...(bench.isQuick ? { clients: 100, rounds: 1 } : { clients: 8000, rounds: 5 }),
    openStore: () => openSqliteReadStore({ file: join(bench.newFolder('store'), 'read-models.db') }),
    writeRaw: async ({ store, build, projection, batches }) => {
      await store.prepare(build, projection);
      for (const batch of batches) {
        const missed = await store.write(build, batch);
        if (missed.length > 0) throw new Error(`${missed.length} documents of ${build} were not written`);
      }
    },
  });
  return [
    row({ section, name: `catch-up on ${events} events`, unit: 'events/s', value: events / seconds.catchUp }),
    row({
      ...{ section, name: 'the documents that it writes', unit: 'documents/s', value: documents / seconds.catchUp },
      ...{ against: 'raw batched writes', reference: documents / seconds.writes, target: ratioAtLeast(0.4) },
    }),
  ];
}
