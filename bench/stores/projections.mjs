import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { openMongoReadStore } from '#read-models/mongodb';
import { measureCatchUp } from '../catch-up.mjs';
import { ratioAtLeast, row } from '../report.mjs';

const section = 'Projection catch-up into MongoDB';

/** All projections at once into a fresh database, against the driver's own bulk writes into the same collections. */
export async function projections(bench, _, mongoUrl) {
  bench.say('projections into MongoDB');
  const client = await MongoClient.connect(mongoUrl);
  bench.atEnd(() => client.close());
  const names = [];
  bench.atEnd(() => Promise.all(names.map((name) => client.db(name).dropDatabase())));
  const { events, documents, seconds } = await measureCatchUp(bench, {
    ...(bench.isQuick ? { clients: 50, rounds: 1 } : { clients: 2000, rounds: 3 }),
    openStore: () => {
      names.push(`bench_${randomUUID().slice(0, 8)}`);
      return openMongoReadStore({ url: `${mongoUrl}/${names.at(-1)}` });
    },
    writeRaw: async ({ store, build, projection, batches }) => {
      await store.prepare(build, projection);
      const collection = client.db(names.at(-1)).collection(build, { writeConcern: { w: 'majority' } });
      for (const batch of batches) await collection.bulkWrite(batch.map(rawWrite), { ordered: false });
    },
  });
  return [
    row({ section, name: `catch-up on ${events} events`, unit: 'events/s', value: events / seconds.catchUp }),
    row({
      ...{ section, name: 'the documents that it writes', unit: 'documents/s', value: documents / seconds.catchUp },
      ...{ against: 'raw bulk writes', reference: documents / seconds.writes, target: ratioAtLeast(0.5) },
    }),
  ];
}

/** Whole documents, by id: the first time inserted, later replaced. */
const rawWrite = ({ id, expected, position, revision, doc }) => {
  const document = { _id: id, _position: position, _revision: revision, ...doc };
  return expected === undefined
    ? { insertOne: { document } }
    : { replaceOne: { filter: { _id: id }, replacement: document } };
};
