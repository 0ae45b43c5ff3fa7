import { MongoClient } from 'mongodb';
import { openMongoReadStore } from '#read-models/mongodb';
import { newDatabase } from '../../test/servers/mongodb/launch.js';
import { measureCatchUp } from '../catch-up.mjs';
import { ratioAtLeast, row } from '../report.mjs';

const section = 'Projection catch-up into MongoDB';

/**
 * Measures how fast all projections together fill an empty database. Compares this speed with the speed of bulk writes
 * of the same documents by the bare driver.
 */
export async function projections(bench, _, mongoUrl) {
  bench.say('projections into MongoDB');
  const client = await MongoClient.connect(mongoUrl);
  bench.atEnd(() => client.close());
  const databases = [];
  bench.atEnd(() => Promise.all(databases.map((database) => database.drop())));
  const { events, documents, seconds } = await measureCatchUp(bench, {
    ...(bench.isQuick ? { clients: 50, rounds: 1 } : { clients: 2000, rounds: 3 }),
    openStore: () => {
      databases.push(newDatabase(mongoUrl, 'bench'));
      return openMongoReadStore({ url: databases.at(-1).url });
    },
    openRaw: async ({ store, build, projection }) => {
      await store.prepare(build, projection);
      const collection = client.db(databases.at(-1).name).collection(build, { writeConcern: { w: 'majority' } });
      return (documents) => collection.bulkWrite(documents.map(rawWrite), { ordered: false });
    },
  });
  return [
    row({ section, name: `catch-up on ${events} events`, unit: 'events/s', value: events / seconds.catchUp }),
    row({
      ...{ section, name: 'the documents that it writes', unit: 'documents/s', value: documents / seconds.catchUp },
      ...{ against: 'raw bulk writes', reference: documents / seconds.writes, target: ratioAtLeast(0.9) },
    }),
  ];
}

const rawWrite = ({ id, position, revision, doc }) => ({
  insertOne: { document: { _id: id, _position: position, _revision: revision, ...doc } },
});
