import { randomUUID } from 'node:crypto';
import { EventStoreDBClient } from '@eventstore/db-client';
import { type EventLog, LogUnavailable } from '#event-log';
import { EventStoreDbLog, openEventStoreDbLog } from '#event-log/eventstoredb';
import { type Cluster, startCluster } from '../servers/eventstoredb/cluster.js';
import { installedProgram } from '../servers/eventstoredb/event-store.js';
import { newEvent, newEvents } from '../support/events/new-events.js';

/**
 * How long an election takes, in ms. A fence is a write that proves that a connection reaches the leader. Elections are
 * shorter than in production, and fences are valid for a shorter time, in the same proportion. As in production, a
 * fence is valid for less time than an election takes.
 */
const ELECTION_MS = 1_500;
const STALE_MS = 1_500;
const FENCE_MAX_AGE_MS = 600;
/** Longer than a test takes: a fence of this age is never renewed. */
const AN_HOUR_MS = 3_600_000;
/** How many reads a replaced leader answers from its old state at least. How long a real server does so varies. */
const STALE_READS = installedProgram() === undefined ? 10 : 0;

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster({ electionMs: ELECTION_MS, staleMs: STALE_MS });
});
afterEach(async () => {
  await cluster.stop();
});

const newStream = () => `consumerClient-cc_${randomUUID()}`;
const strong = { consistency: 'strong' } as const;

let clients = 0;
const clientTo = (url: string) =>
  EventStoreDBClient.connectionString(`${url}&gossipTimeout=1&keepAliveInterval=${20_000 + clients++}`);

/** The results of reads that began after the new leader had acknowledged a second event. */
interface Answers {
  /**
   * The number of events that each strong read (a read that returns every event acknowledged before) returned. 1 means
   * that the read returned the old leader's state.
   */
  readonly strong: readonly (number | 'unavailable')[];
  /** Number of reads without a fence that the old leader answered from its old state while the strong reads ran. */
  readonly staleUnfenced: number;
}

/**
 * Pauses the leader, waits until another leader is elected, and resumes the old leader. Strong reads still go to the
 * old leader, as in a process that hasn't noticed the change. Another process's appends already go to the new leader.
 */
async function readFromReplacedLeader(fenceMaxAgeMs: number): Promise<Answers> {
  const old = await cluster.leader();
  const oldUrl = `esdb://127.0.0.1:${old.port}?tls=false`;
  const log = new EventStoreDbLog({
    createClient: (purpose) => clientTo(purpose === 'strong reads' ? oldUrl : cluster.url),
    credentials: { username: 'a', password: 'test' },
    fenceMaxAgeMs,
  });
  const others = openEventStoreDbLog({ url: cluster.url, fenceMaxAgeMs: FENCE_MAX_AGE_MS });
  const unfenced = clientTo(oldUrl);
  try {
    const stream = newStream();
    await log.append(stream, 'none', newEvents(1));
    expect(await log.readStream(stream, strong)).toHaveLength(1);
    expect(await revisionsOf(unfenced, stream)).toBe(1);

    old.freeze();
    await cluster.leader(old);
    await others.append(stream, 0n, newEvents(1));
    const answers: Promise<number | 'unavailable'>[] = [];
    const ask = () => {
      const read = log.readStream(stream, { ...strong, deadlineMs: 500 });
      answers.push(
        read.then(
          ({ length }) => length,
          (error: unknown) => {
            expect(error).toBeInstanceOf(LogUnavailable);
            return 'unavailable';
          },
        ),
      );
    };
    ask();
    old.thaw();
    let staleUnfenced = 0;
    for (let events = 1; events === 1; staleUnfenced++) {
      ask();
      events = await revisionsOf(unfenced, stream);
    }
    const told = await Promise.all(answers);
    await cluster.until(() => old.state?.role === 'follower' && old.state.isReady);
    return { strong: told, staleUnfenced };
  } finally {
    await log.close();
    await others.close();
    await unfenced.dispose();
  }
}

test('a leader that was paused and replaced answers no strong read from its old state', async () => {
  const { strong: answers, staleUnfenced } = await readFromReplacedLeader(FENCE_MAX_AGE_MS);
  expect(staleUnfenced).toBeGreaterThan(STALE_READS);
  expect(answers).not.toContain(1);
});

test('the same leader does, if only the first read is fenced', async () => {
  const { strong: answers } = await readFromReplacedLeader(AN_HOUR_MS);
  expect(answers.filter((events) => events === 1).length).toBeGreaterThan(STALE_READS);
});

/**
 * Reads from the leader without a fence. Resolves to the number of events that the read returns, or to 0 if the read is
 * refused.
 */
async function revisionsOf(client: EventStoreDBClient, stream: string): Promise<number> {
  let events = 0;
  const read = client.readStream(stream, { requiresLeader: true });
  try {
    for await (const { event } of read) if (event) events += 1;
    return events;
  } catch {
    return 0;
  }
}

test.each(['killed', 'frozen'] as const)('a leader that is %s loses and duplicates no append', async (how) => {
  const former = await cluster.leader();
  const log: EventLog = openEventStoreDbLog({ url: cluster.url, fenceMaxAgeMs: FENCE_MAX_AGE_MS, deadlineMs: 20_000 });
  try {
    const stream = newStream();

    const writers = Array.from({ length: 8 }, newStream);
    const written = new Map<string, string[]>(writers.map((writer) => [writer, []]));
    let isOver = false;
    const writing = writers.map(async (writer) => {
      for (let last: bigint | undefined; !isOver;) {
        const event = newEvent();
        ({ revision: last } = await log.append(writer, last ?? 'none', [event]));
        written.get(writer)?.push(event.eventId);
      }
    });
    await log.append(stream, 'none', newEvents(1));
    if (how === 'killed') await former.kill();
    else former.freeze();
    await log.append(stream, 0n, newEvents(1));
    isOver = true;
    await Promise.all(writing);
    expect(await log.readStream(stream, strong)).toHaveLength(2);
    for (const [writer, ids] of written) {
      expect((await log.readStream(writer, strong)).map(({ eventId }) => eventId)).toEqual(ids);
    }
  } finally {
    former.thaw();
    await log.close();
  }
});
