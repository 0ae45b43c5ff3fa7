import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { inflateSync } from 'node:zlib';
import { newClientId } from '#credentials';
import { consumerClient } from '#domain';
import { identifyLog, LogUnavailable, openBookOfRecord, snapshotName } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { seal } from '#events';
import { WORKSPACE } from '../processes.mjs';
import { below, row } from '../report.mjs';
import { median } from '../rounds.mjs';
import { eventStoreDb } from '../stores/servers.mjs';

const SEEDED_AT = '2026-01-01T00:00:00.000Z';
const EVENTS_PER_APPEND = 500;
/** The beginning of a stored text that is compressed. */
const DEFLATED = 'deflated:';
const VERIFIER = '$argon2id$v=19$m=19456,t=2,p=1,keyid=FAKEFAKEFAK$FAKEFAKEFAKEFAKEFAKEFA$FAKE';

/** Measures what a client costs that has a very long stream, on both logs. */
export async function longStreams(bench) {
  const file = join(bench.newFolder('long-streams'), 'events.db');
  const { url, name } = await eventStoreDb(bench);
  // The stand-in keeps all events in memory.
  const full = { sqlite: 1_000_000, server: name === 'stand-in' ? 100_000 : 1_000_000 };
  const sizes = bench.isQuick ? { sqlite: 3_000, server: 3_000 } : full;
  const server = () => Promise.resolve(openEventStoreDbLog({ url }));
  return [
    ...(await onLog(bench, 'SQLite', () => openSqliteEventLog({ file }), sizes.sqlite)),
    ...(await onLog(bench, `EventStoreDB (${name})`, server, sizes.server)),
  ];
}

async function onLog(bench, store, openLog, events) {
  const section = `A client with ${events.toLocaleString('en')} events: ${store}`;
  bench.say(`${store}, ${events} events`);
  const client = await seed(openLog, events);
  bench.say(`${store}, first read`);
  const first = await readWithoutSnapshot(openLog, client);
  bench.say(`${store}, calls of new processes`);
  const rounds = bench.isQuick ? 2 : 15;
  const measure = async (call, times = rounds) => {
    const taken = [];
    for (let round = 0; round < times; round++) taken.push(await inNewProcess(openLog, call, round));
    return median(taken);
  };
  const calls = {
    'first read, as at a login': [50, ({ clients }) => clients.read(client.id)],
    rename: [100, ({ clients }, round) => rename(clients, client.id, `Renamed ${round}`)],
    'revocation of a token': [100, ({ clients }, round) => revokeToken(clients, client.id, round)],
    'rename with a new Idempotency-Key': [
      100,
      ({ clients }, round) => rename(clients, client.id, `Again ${round}`, { context: context() }),
    ],
    'repetition of the first rename': [100, ({ clients }) => repeat(clients, client, 1)],
    'repetition of a rename in the middle': [100, ({ clients }) => repeat(clients, client, Math.round(events / 2))],
    'repetition of the last rename': [100, ({ clients }) => repeat(clients, client, events - 1)],
  };
  const rows = [
    row({ section, name: 'first read before there was a snapshot', unit: 's', value: first.seconds }),
    row({ section, name: '… calls of at most 5 s for it', unit: 'calls', value: first.calls }),
  ];
  for (const [name, [bound, call]] of Object.entries(calls)) {
    rows.push(row({ section, name, unit: 'ms', value: await measure(call), target: below(bound, 'ms') }));
  }
  const revoke = ({ clients }) =>
    execute(clients, client.id, { type: 'RevokeClient', reason: 'retired' }, { context: context(), isNew: true });
  const revocation = await measure(revoke, 1);
  return [
    ...rows,
    row({ section, name: 'revocation of the client', unit: 'ms', value: revocation, target: below(100, 'ms') }),
  ];
}

/** Makes a client that is created and then renamed again and again, by a command for each event. */
async function seed(openLog, events) {
  const log = await openLog();
  await identifyLog(log, () => new Date(SEEDED_AT));
  const id = newClientId();
  const stream = consumerClient.stream(id);
  const commandIds = [];
  let last;
  while (commandIds.length < events) {
    const expected = last?.revision ?? 'none';
    const batch = [];
    while (batch.length < EVENTS_PER_APPEND && commandIds.length < events) {
      const revision = BigInt(commandIds.length);
      const { commandId } = context();
      const [event] = seal(stream, last, [eventOf(id, revision)], context(commandId), SEEDED_AT);
      batch.push(event);
      commandIds.push(commandId);
      last = { revision, hash: event.metadata.hash };
    }
    await log.append(stream, expected, batch);
  }
  await log.close();
  return { id, commandIds };
}

const eventOf = (clientId, revision) =>
  revision === 0n
    ? {
        type: 'ConsumerClientCreated',
        data: {
          ...{ clientId, workspaceId: WORKSPACE, name: 'Orders', authenticationType: 'OAUTH2' },
          ...{ verifier: VERIFIER, createdAt: SEEDED_AT },
        },
      }
    : { type: 'ConsumerClientRenamed', data: { name: `Orders ${revision}` } };

/** Reads the client until a call succeeds, and then waits for the snapshot. */
async function readWithoutSnapshot(openLog, { id, commandIds }) {
  const log = await openLog();
  const { clients } = await openBookOfRecord(log, () => new Date(SEEDED_AT));
  const startedAt = performance.now();
  for (let calls = 1; ; calls++) {
    try {
      await clients.read(id);
      const seconds = (performance.now() - startedAt) / 1000;
      await snapshotNear(log, consumerClient.stream(id), commandIds.length);
      await log.close();
      return { seconds, calls };
    } catch (error) {
      if (!(error instanceof LogUnavailable)) throw error;
    }
  }
}

async function snapshotNear(log, stream, events) {
  for (;;) {
    const stored = (await log.snapshots.read(snapshotName(stream, consumerClient.stateVersion))) ?? '';
    const text = stored.startsWith(DEFLATED)
      ? inflateSync(Buffer.from(stored.slice(DEFLATED.length), 'base64')).toString()
      : stored;
    const revision = /"revision":"(\d+)"/.exec(text)?.[1] ?? 0;
    if (Number(revision) > events - 501) return;
    await delay(20);
  }
}

/** Opens the log as a new process does. Returns the milliseconds that the call then takes. */
async function inNewProcess(openLog, call, round) {
  const log = await openLog();
  try {
    const book = await openBookOfRecord(log, () => new Date(SEEDED_AT));
    const startedAt = performance.now();
    await call(book, round);
    return performance.now() - startedAt;
  } finally {
    await log.close();
  }
}

const execute = (clients, id, command, request, at = SEEDED_AT) =>
  clients.execute(id, { workspaceId: WORKSPACE, at, ...command }, request);

const rename = (clients, id, name, request = { context: context(), isNew: true }) =>
  execute(clients, id, { type: 'RenameClient', name }, request);

const revokeToken = (clients, id, round) => {
  const at = new Date(Date.parse(SEEDED_AT) + round * 3_600_000).toISOString();
  const token = { kind: 'ACCESS_TOKEN', tokenId: randomUUID(), issuedAt: at, expiresAt: at.replace('2026', '2027') };
  return execute(clients, id, { type: 'RevokeToken', ...token }, { context: context(), isNew: true }, at);
};

async function repeat(clients, { id, commandIds }, revision) {
  const { outcome, state } = await rename(clients, id, 'Unused', { context: context(commandIds[revision]) });
  if (outcome !== 'repeated' || state.name !== `Orders ${revision}`) throw new Error(`Wrong answer: ${outcome}`);
}

const context = (commandId = randomUUID()) => ({
  ...{ commandId, commandHash: '0'.repeat(64), workspaceId: WORKSPACE },
  actor: { subject: 'portal-backend', roles: ['clients:write'], via: 'http' },
  ...{ correlationId: commandId, causationId: commandId },
});
