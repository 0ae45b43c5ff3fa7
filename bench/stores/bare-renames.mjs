// The fair limit of renames on EventStoreDB: a bare Fastify that parses the same requests and makes one unary append for
// each, by the bare driver. It checks nothing, and remembers only the revision of each stream.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { EventStoreDBClient, NO_STREAM } from '@eventstore/db-client';
import Fastify from 'fastify';
import { CALL_OPTIONS, renamed } from './renamed.mjs';

const [{ url }] = await once(process, 'message');
const client = EventStoreDBClient.connectionString(url);
const run = randomUUID();
const revisions = new Map();

const fastify = Fastify();
fastify.patch('/v1/clients/:clientId', async ({ params: { clientId }, body: { name } }) => {
  const expectedRevision = revisions.get(clientId) ?? NO_STREAM;
  const options = { ...CALL_OPTIONS, expectedRevision };
  const { nextExpectedRevision } = await client.appendToStream(`bench-${run}-${clientId}`, renamed(name), options);
  revisions.set(clientId, nextExpectedRevision);
  return { client: { clientId, name, revision: Number(nextExpectedRevision) } };
});
process.once('disconnect', () => void fastify.close().then(() => client.dispose()));
process.send({ url: await fastify.listen({ port: 0, host: '127.0.0.1' }) });
