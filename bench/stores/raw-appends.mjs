// Measures unary appends (one gRPC call per append) by the bare driver. Each append writes one event, as large as a
// rename event, with an expected revision.
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client';

const [{ url }] = await once(process, 'message');
const client = EventStoreDBClient.connectionString(url);
const options = { requiresLeader: true, credentials: { username: 'bench', password: 'bench' }, deadline: 10_000 };

/**
 * Returns an event whose metadata is as long as the metadata that the service writes: ids, two hashes, actor, times.
 */
const renamed = () =>
  jsonEvent({
    type: 'BenchRenamed',
    data: { name: 'Forecast importer 00000000', renamedAt: new Date().toISOString() },
    metadata: { ids: Array.from({ length: 4 }, () => randomUUID()), hashes: randomBytes(96).toString('hex') },
  });

async function rate({ callers, seconds }) {
  const startedAt = performance.now();
  let done = 0;
  const call = async () => {
    const stream = `bench-${randomUUID()}`;
    let expectedRevision = NO_STREAM;
    while (performance.now() < startedAt + seconds * 1000) {
      const appended = await client.appendToStream(stream, renamed(), { ...options, expectedRevision });
      expectedRevision = appended.nextExpectedRevision;
      done++;
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  return (done / (performance.now() - startedAt)) * 1000;
}

process.on('message', (question) => void rate(question).then((perSecond) => process.send(perSecond)));
process.once('disconnect', () => void client.dispose());
process.send('ready');
