// The reference for renames and assignments: a bare Fastify that parses the same requests and appends one event for
// each.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import Fastify from 'fastify';
import { openSqliteEventLog } from '#event-log/sqlite';

const [{ file, templates }] = await once(process, 'message');
const log = await openSqliteEventLog({ file });
const revisions = new Map();

/**
 * Appends a copy of an event that the service wrote. The copy has a new id, and `changes` replace fields of its data.
 */
async function append(clientId, { type, data, metadata }, changes) {
  const stream = `consumerClient-${clientId}`;
  const event = { eventId: randomUUID(), type, data: { ...data, ...changes }, metadata };
  const { revision } = await log.append(stream, revisions.get(stream) ?? 'none', [event]);
  revisions.set(stream, revision);
  return { revision: Number(revision) };
}

const fastify = Fastify();
fastify.patch('/v1/clients/:clientId', ({ params, body }) =>
  append(params.clientId, templates.rename, { name: body.name }),
);
fastify.put('/v1/clients/:clientId/subscriptions/:subscriptionId', ({ params }) =>
  append(params.clientId, templates.assign, { subscriptionId: params.subscriptionId }),
);
process.once('disconnect', () => void fastify.close().then(() => log.close()));
process.send({ url: await fastify.listen({ port: 0, host: '127.0.0.1' }) });
