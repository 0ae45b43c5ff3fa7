import { randomInt, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { newClientId } from '#credentials';
import { consumerClient } from '#domain';
import { identifyLog, LogUnavailable, openBookOfRecord, snapshotName } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { seal } from '#events';
import { clientAsOf } from '#replay';
import { WORKSPACE } from '../processes.mjs';
import { below, row } from '../report.mjs';
import { percentile } from '../rounds.mjs';

const BEGAN_AT = Date.parse('2026-01-01T00:00:00.000Z');
const MS_BETWEEN_EVENTS = 10;
const EVENTS_PER_APPEND = 500;
const VERIFIER = '$argon2id$v=19$m=19456,t=2,p=1,keyid=FAKEFAKEFAK$FAKEFAKEFAKEFAKEFAKEFA$FAKE';

/** Measures how long the state of a client with very many events takes, as of random moments, on SQLite. */
export async function pastStates(bench) {
  const sizes = bench.isQuick
    ? [[1_000, 20]]
    : [
        [10_000, 20],
        [1_000_000, 50],
      ];
  const rows = [];
  for (const [events, bound] of sizes) {
    bench.say(`${events} events of a client`);
    const file = join(bench.newFolder(`past-states-${events}`), 'events.db');
    const clientId = await seeded(file, events);
    const section = `The state of a client with ${events.toLocaleString('en')} events, as of any moment`;
    for (const [by, basisOf] of Object.entries(await basesOf(file, clientId))) {
      const { warm, cold } = await measured(file, clientId, events, basisOf, bench.isQuick ? 20 : 1_000);
      rows.push(
        row({ section, name: `by ${by}, median`, unit: 'ms', value: percentile(warm, 0.5) }),
        row({ section, name: `by ${by}, p99`, unit: 'ms', value: percentile(warm, 0.99), target: below(bound, 'ms') }),
        row({ section, name: '… first call of a process, median', unit: 'ms', value: percentile(cold, 0.5) }),
      );
    }
  }
  return rows;
}

const timeOf = (revision) => new Date(BEGAN_AT + revision * MS_BETWEEN_EVENTS).toISOString();

/** Makes a client that is created and renamed again and again, and its snapshots. */
async function seeded(file, events) {
  const clientId = newClientId();
  const stream = consumerClient.stream(clientId);
  const log = await openSqliteEventLog({ file });
  await identifyLog(log, () => new Date(BEGAN_AT));
  let last;
  for (let next = 0; next < events;) {
    const expected = last?.revision ?? 'none';
    const batch = [];
    for (; batch.length < EVENTS_PER_APPEND && next < events; next++) {
      const [event] = seal(stream, last, [eventOf(clientId, next)], context(), timeOf(next));
      last = { revision: BigInt(next), hash: event.metadata.hash };
      batch.push(event);
    }
    await log.append(stream, expected, batch);
  }
  const { clients } = await openBookOfRecord(log, () => new Date());
  while (!(await isRead(clients, clientId)));
  // The snapshots are written in the background, one after another.
  const name = snapshotName(stream, consumerClient.stateVersion);
  for (let written; ;) {
    await delay(1_000);
    const now = await log.snapshots.read(name);
    if (now !== undefined && now === written) break;
    written = now;
  }
  await log.close();
  return clientId;
}

/** A read of a long stream without a snapshot may take more calls than one. */
async function isRead(clients, clientId) {
  try {
    await clients.read(clientId);
    return true;
  } catch (error) {
    if (!(error instanceof LogUnavailable)) throw error;
    return false;
  }
}

const eventOf = (clientId, revision) =>
  revision === 0
    ? {
        type: 'ConsumerClientCreated',
        data: {
          ...{ clientId, workspaceId: WORKSPACE, name: 'Orders', authenticationType: 'OAUTH2' },
          ...{ verifier: VERIFIER, createdAt: timeOf(0) },
        },
      }
    : { type: 'ConsumerClientRenamed', data: { name: `Orders ${revision}` } };

const context = (commandId = randomUUID()) => ({
  ...{ commandId, commandHash: '0'.repeat(64), workspaceId: WORKSPACE },
  actor: { subject: 'portal-backend', roles: ['clients:write'], via: 'http' },
  ...{ correlationId: commandId, causationId: commandId },
});

/** Returns functions that name the past after an event of the client, in each possible way. */
async function basesOf(file, clientId) {
  const log = await openSqliteEventLog({ file });
  const [first] = await log.readStream(consumerClient.stream(clientId), { limit: 1 });
  await log.close();
  const positionOf = (revision) => (BigInt(first.position) + BigInt(revision)).toString().padStart(20, '0');
  return {
    time: (revision) => ({ by: 'time', at: timeOf(revision) }),
    revision: (revision) => ({ by: 'revision', revision: BigInt(revision) }),
    position: (revision) => ({ by: 'position', position: positionOf(revision) }),
  };
}

/** Returns the milliseconds of calls in a process that has made others before, and of first calls. */
async function measured(file, clientId, events, basisOf, calls) {
  const now = timeOf(events + 1);
  const ask = async (book) => {
    const revision = randomInt(events);
    const startedAt = performance.now();
    const { client } = await clientAsOf(book, { workspaceId: WORKSPACE, clientId, basis: basisOf(revision), now });
    if (client.revision !== revision) throw new Error(`Revision ${client.revision} instead of ${revision}`);
    return performance.now() - startedAt;
  };
  const cold = [];
  for (let call = 0; call < calls / 10; call++) cold.push(await onNewBook(file, ask));
  const warm = await onNewBook(file, async (book) => {
    const taken = [];
    for (let call = 0; call < calls; call++) taken.push(await ask(book));
    return taken;
  });
  return { warm, cold };
}

async function onNewBook(file, use) {
  const log = await openSqliteEventLog({ file });
  try {
    return await use(await openBookOfRecord(log, () => new Date()));
  } finally {
    await log.close();
  }
}
