// Measures unary appends (one gRPC call per append) by the bare driver. Each append writes one event, as large as a
// rename event, with an expected revision.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { EventStoreDBClient, NO_STREAM } from '@eventstore/db-client';
import { CALL_OPTIONS, renamed } from './renamed.mjs';

const [{ url }] = await once(process, 'message');
const client = EventStoreDBClient.connectionString(url);

async function rate({ callers, seconds }) {
  const startedAt = performance.now();
  let done = 0;
  const call = async () => {
    const stream = `bench-${randomUUID()}`;
    let expectedRevision = NO_STREAM;
    while (performance.now() < startedAt + seconds * 1000) {
      const appended = await client.appendToStream(stream, renamed(), { ...CALL_OPTIONS, expectedRevision });
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
