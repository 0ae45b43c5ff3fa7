// Reads the last event of a stream with the bare driver, as often as possible.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { BACKWARDS, END, EventStoreDBClient, jsonEvent } from '@eventstore/db-client';

const [{ url }] = await once(process, 'message');
const client = EventStoreDBClient.connectionString(url);
const options = { requiresLeader: true, credentials: { username: 'bench', password: 'bench' } };

async function rate({ callers, seconds }) {
  const streams = Array.from({ length: callers }, () => `bench-${randomUUID()}`);
  for (const stream of streams)
    await client.appendToStream(stream, jsonEvent({ type: 'BenchRead', data: {} }), options);
  const startedAt = performance.now();
  let done = 0;
  const call = async (stream) => {
    while (performance.now() < startedAt + seconds * 1000) {
      const read = client.readStream(stream, { ...options, direction: BACKWARDS, fromRevision: END, maxCount: 1 });
      for await (const { event } of read) if (event) done++;
    }
  };
  await Promise.all(streams.map(call));
  return (done / (performance.now() - startedAt)) * 1000;
}

process.on('message', (question) => void rate(question).then((perSecond) => process.send(perSecond)));
process.once('disconnect', () => void client.dispose());
process.send('ready');
