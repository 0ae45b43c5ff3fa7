import { randomBytes, randomInt } from 'node:crypto';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { MasterKeys } from '#credentials';
import { consumerClient } from '#domain';
import { internalContext, openBookOfRecord, readLogId } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { Projector, ReadModelQueries, tree } from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { streamEvidence, TreeHeadSigner, TreeReader } from '#tree-heads';
import { seedMarketplace } from '../catch-up.mjs';
import { WORKSPACE } from '../processes.mjs';
import { atLeast, below, row } from '../report.mjs';
import { percentile } from '../rounds.mjs';
import { seedLargeLog } from '../seeding.mjs';

/** Each client has 2.6 events, so this makes a log of a little more than 1,000,000. */
const CLIENTS = 386_000;
const EVENTS_OF_EVIDENCE = 50;
const BUILD = `${tree.name}_v${tree.version}_1`;

/** Measures the tree over a log of 1,000,000 events on SQLite: how fast it grows, its heads, its proofs, and evidence. */
export async function treeProofs(bench) {
  const folder = bench.newFolder('tree-proofs');
  const file = join(folder, 'events.db');
  bench.say('seeding the log of the tree');
  const { events, clientId } = await seedLargeLog(file, async (seeder) => {
    await seedMarketplace(seeder, bench.isQuick ? 400 : CLIENTS);
    return { clientId: await createdAndRenamed(seeder), events: seeder.count };
  });
  const log = await openSqliteEventLog({ file });
  const store = await openSqliteReadStore({ file: join(folder, 'read-models.db') });
  const projection = new AbortController();
  let projecting = Promise.resolve();
  try {
    const section = `The tree over a log of ${events.toLocaleString('en')} events`;
    const stores = { log, logId: await readLogId(log), store };
    bench.say('the tree');
    const startedAt = performance.now();
    const projector = projectorOf(stores);
    projecting = projector.run(projection.signal);
    await Promise.race([projector.caughtUp, projecting]);
    const seconds = (performance.now() - startedAt) / 1000;
    await store.serve(tree, undefined, BUILD);

    const now = () => new Date();
    const reader = new TreeReader(new ReadModelQueries(stores), log);
    const masterKeys = MasterKeys.from({ current: randomBytes(32) });
    const book = await openBookOfRecord(log, now);
    const signer = new TreeHeadSigner({ book, reader, masterKeys, publicUrl: 'https://hub.example', now });
    const sign = () => signer.sign(projection.signal);
    bench.say('heads, proofs and evidence');
    const first = await milliseconds(sign);
    await renamed(book, clientId);
    const forced = await milliseconds(sign);
    const { size } = await sign();
    await reader.waitFor(size);
    const calls = bench.isQuick ? 20 : 1_000;
    const inclusion = await each(calls, () => reader.inclusionProof(randomInt(size), size));
    const consistency = await each(calls, () => reader.consistencyProof(randomInt(1, size), size));
    const question = {
      ...{ stream: consumerClient.stream(clientId), at: now().toISOString() },
      isVisible: ({ data }) => data.workspaceId === WORKSPACE,
    };
    const evidence = await each(calls / 10, () => streamEvidence({ log, reader, ring: signer.ring }, question));
    return [
      row({
        section,
        name: 'tree ingest',
        unit: 'leaves/s',
        value: events / seconds,
        target: atLeast(20_000, 'leaves/s'),
      }),
      row({ section, name: 'first head of a process', unit: 'ms', value: first }),
      row({ section, name: 'head forced behind a command', unit: 'ms', value: forced, target: below(1_000, 'ms') }),
      row({
        section,
        name: 'inclusion proof, p99',
        unit: 'ms',
        value: percentile(inclusion, 0.99),
        target: below(5, 'ms'),
      }),
      row({
        section,
        name: 'consistency proof, p99',
        unit: 'ms',
        value: percentile(consistency, 0.99),
        target: below(10, 'ms'),
      }),
      row({
        ...{ section, name: `evidence of ${EVENTS_OF_EVIDENCE} events, p99`, unit: 'ms' },
        ...{ value: percentile(evidence, 0.99), target: below(100, 'ms') },
      }),
    ];
  } finally {
    projection.abort();
    await projecting;
    await log.close();
    await store.close();
  }
}

/** Creates a client with one event less than the evidence is to have: it is renamed once more behind the first head. */
async function createdAndRenamed(seeder) {
  const clientId = await seeder.createClient('Importer with a history', 'OAUTH2');
  for (let n = 1; n < EVENTS_OF_EVIDENCE - 1; n++) {
    await seeder.change(clientId, 'ConsumerClientRenamed', { name: `Importer with a history, ${n}` });
  }
  return clientId;
}

const projectorOf = (stores) =>
  new Projector({
    ...{ ...stores, projection: tree, build: BUILD, isFresh: true, now: () => new Date() },
    observer: { outageBegan() {}, outageEnded() {} },
  });

const renamed = (book, clientId) =>
  book.clients.execute(
    clientId,
    { type: 'DescribeClient', workspaceId: WORKSPACE, name: 'Behind the first head', at: new Date().toISOString() },
    { context: internalContext({ via: 'cli', workspaceId: WORKSPACE }) },
  );

async function milliseconds(work) {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

async function each(calls, work) {
  const taken = [];
  for (let call = 0; call < calls; call++) taken.push(await milliseconds(work));
  return taken;
}
