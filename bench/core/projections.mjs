import { join } from 'node:path';
import { openSqliteReadStore } from '#read-models/sqlite';
import { measureCatchUp } from '../catch-up.mjs';
import { atLeast, ratioAtLeast, row } from '../report.mjs';

const section = 'Projection catch-up';

/** Four events for each client: 33,000, 660,000 and 2,600,000 events. */
const SIZES = [
  { clients: 8_000, rounds: 5 },
  { clients: 162_000, rounds: 1 },
  { clients: 638_000, rounds: 1 },
];

/**
 * Measures how fast all projections together fill an empty read store, with logs of several sizes. Compares this speed
 * with the speed of the same writes alone, without reading the log or folding events.
 */
export async function projections(bench) {
  const rows = [];
  let smallest;
  for (const size of bench.isQuick ? [{ clients: 100, rounds: 1 }] : SIZES) {
    bench.say(`projections, ${size.clients} clients`);
    const { events, documents, memory, seconds } = await measureCatchUp(bench, { ...size, openStore, openRaw });
    const speed = { section, name: `catch-up on ${events} events`, unit: 'events/s', value: events / seconds.catchUp };
    rows.push(
      row({ ...speed, target: atLeast(30_000, 'events/s') }),
      ...(smallest ? [row({ ...speed, name: 'the same', ...besideSmallest(smallest) })] : []),
      row({
        ...{ section, name: 'the documents that it writes', unit: 'documents/s', value: documents / seconds.catchUp },
        ...{ against: 'raw batched writes', reference: documents / seconds.writes, target: ratioAtLeast(0.9) },
      }),
      row({ section, name: 'largest resident memory', unit: 'MB', value: memory }),
    );
    smallest ??= speed;
  }
  return rows;

  function openStore() {
    return openSqliteReadStore({ file: join(bench.newFolder('store'), 'read-models.db') });
  }
}

const besideSmallest = ({ value }) => ({ against: 'smallest log', reference: value, target: ratioAtLeast(0.77) });

async function openRaw({ store, build, projection }) {
  await store.prepare(build, projection);
  return async (documents) => {
    const missed = await store.write(build, documents);
    if (missed.length > 0) throw new Error(`${missed.length} documents of ${build} were not written`);
  };
}
