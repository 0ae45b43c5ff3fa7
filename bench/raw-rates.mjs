// Measures single parts without the service: appends by the SQLite adapter, and Argon2 hashes.
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { hashSecret, MasterKeys } from '#credentials';
import { openSqliteEventLog } from '#event-log/sqlite';

const [{ file, templates }] = await once(process, 'message');
const log = await openSqliteEventLog({ file });
const masterKeys = MasterKeys.from({ current: randomBytes(32), previous: [] });

/**
 * Returns a function by which a caller appends one event to its own stream. The event is as large as an event that the
 * service writes.
 */
function appends(template) {
  const streams = new Map();
  return async (caller) => {
    const { stream, revision } = streams.get(caller) ?? { stream: `consumerClient-${randomUUID()}`, revision: 'none' };
    const appended = await log.append(stream, revision, [{ ...template, eventId: randomUUID() }]);
    streams.set(caller, { stream, revision: appended.revision });
  };
}

const stepsOf = (kind) =>
  kind === 'argon2' ? () => hashSecret('a secret of no one', masterKeys) : appends(templates[kind]);

async function rate({ kind, callers, seconds }) {
  const step = stepsOf(kind);
  const startedAt = performance.now();
  let done = 0;
  const call = async (caller) => {
    while (performance.now() < startedAt + seconds * 1000) {
      await step(caller);
      done++;
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  return (done / (performance.now() - startedAt)) * 1000;
}

process.on('message', (question) => void rate(question).then((perSecond) => process.send(perSecond)));
process.once('disconnect', () => void log.close());
process.send('ready');
