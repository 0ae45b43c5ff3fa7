import { randomUUID } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient } from '@eventstore/db-client';
import { type EventLog, identifyLog, LogRestored, LogUnavailable } from '#event-log';
import { EventStoreDbLog, openEventStoreDbLog } from '#event-log/eventstoredb';
import { type Cluster, startCluster } from '../servers/eventstoredb/cluster.js';
import { eventually } from '../support/api/http.js';
import { newEvents } from '../support/events/new-events.js';

/**
 * How long an election takes, in ms. A fence is a write that proves that a connection reaches the leader. Elections are
 * shorter than in production, and fences are valid for a shorter time, in the same proportion.
 */
const ELECTION_MS = 1_500;
const STALE_MS = 1_500;
const FENCE_MAX_AGE_MS = 600;

const now = () => new Date();
const newStream = () => `consumerClient-cc_${randomUUID()}`;

let folder: string;
let files: string;
let cluster: Cluster;
let opened: EventLog[];
/** A process that knows the log from before its restore. */
let warm: EventLog;
let stream: string;
let clients = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'restored-log-fail-over-'));
  files = join(folder, 'nodes');
  mkdirSync(files);
  cluster = await startCluster({ directory: files, electionMs: ELECTION_MS, staleMs: STALE_MS });
});
afterAll(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  opened = [];
  stream = newStream();
  warm = newProcess();
  await identifyLog(warm, now);
  await warm.append(stream, 'none', newEvents(2));
  await warm.rememberNewest();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(opened.map((each) => each.close()));
  for (const node of cluster.nodes) node.thaw();
  await untilComplete();
});

const newProcess = () => {
  const log = openEventStoreDbLog({ url: cluster.url, fenceMaxAgeMs: FENCE_MAX_AGE_MS });
  opened.push(log);
  return log;
};
/** Waits until each node serves clients, and only one of them as the leader. */
const untilComplete = () =>
  cluster.until(
    () =>
      cluster.nodes.every(({ state }) => state?.isReady) &&
      cluster.nodes.filter(({ state }) => state?.role === 'leader').length === 1,
  );
/** Stops all nodes, changes their files, and starts them again. */
const whileStopped = async (change: () => void) => {
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  change();
  await Promise.all(cluster.nodes.map((node) => node.restart()));
  await untilComplete();
};
const backUp = async (): Promise<string> => {
  const copy = join(folder, `backup-${randomUUID()}`);
  await whileStopped(() => {
    cpSync(files, copy, { recursive: true });
  });
  return copy;
};
const restore = (copy: string) =>
  whileStopped(() => {
    rmSync(files, { recursive: true });
    cpSync(copy, files, { recursive: true });
  });

type Failure = 'is killed' | 'is frozen';

/**
 * Lets the leader fail when this process makes the read with this number of those by which it looks at the log. Returns
 * what undoes the failure.
 */
async function failAtRead(number: number, how: Failure): Promise<{ hasFailed(): boolean; undo(): Promise<void> }> {
  const leader = await cluster.leader();
  const readStream = Reflect.get<EventStoreDBClient, 'readStream'>(EventStoreDBClient.prototype, 'readStream');
  let [reads, hasFailed] = [0, false];
  jest.spyOn(EventStoreDBClient.prototype, 'readStream').mockImplementation(function (
    this: EventStoreDBClient,
    ...call: Parameters<typeof readStream>
  ) {
    // The clocks are compared by reads of fences, which are no part of the look.
    if (!call[0].startsWith('fence-')) reads += 1;
    if (reads === number && !hasFailed) {
      hasFailed = true;
      if (how === 'is frozen') leader.freeze();
      else void leader.kill();
    }
    return readStream.apply(this, call);
  });
  const undo = async () => {
    if (how === 'is frozen') leader.thaw();
    else await leader.kill().then(() => leader.restart());
  };
  return { hasFailed: () => hasFailed, undo };
}

/** Calls again and again while the log is not available. Resolves with the result, or with the error `LogRestored`. */
const onceAnswered = <T>(call: () => Promise<T>): Promise<T | LogRestored> =>
  eventually(
    () =>
      call().catch((error: unknown) => {
        if (error instanceof LogUnavailable) return error as T | LogRestored;
        throw error;
      }),
    (result) => !(result instanceof LogUnavailable) || result instanceof LogRestored,
  );
const strongRead = (log: EventLog) => log.readStream(stream, { consistency: 'strong' });

/** The first read is the one that the caller asked for. Then come those of the known events, and the ones after these. */
const FAILURES: readonly [read: number, how: Failure][] = [
  [4, 'is killed'],
  [4, 'is frozen'],
];

describe('while a process looks whether the log was restored, and its leader fails', () => {
  it.each(FAILURES)('(read %i, the leader %s) it takes a whole log for no restored one', async (read, how) => {
    await whileStopped(() => undefined);
    const failure = await failAtRead(read, how);
    try {
      expect(await onceAnswered(() => strongRead(warm))).toHaveLength(2);
      expect(await onceAnswered(() => warm.append(stream, 1n, newEvents(1)))).toHaveProperty('revision', 2n);
      expect(warm.restored).toBeUndefined();
      await eventually(
        () => onceAnswered(() => strongRead(warm)).then(() => failure.hasFailed()),
        (hasFailed) => hasFailed,
      );
    } finally {
      await failure.undo();
    }
  });

  it.each(FAILURES)('(read %i, the leader %s) it notices a restored log all the same', async (read, how) => {
    const backup = await backUp();
    await onceAnswered(() => warm.append(stream, 1n, newEvents(1)));
    await restore(backup);
    const failure = await failAtRead(read, how);
    try {
      const calls = [() => strongRead(warm), () => warm.append(newStream(), 'none', newEvents(1))];
      for (const call of calls) expect(await onceAnswered<unknown>(call)).toBeInstanceOf(LogRestored);
    } finally {
      await failure.undo();
    }
  });
});

it('a replaced leader that lacks the newest event is taken for no restored log', async () => {
  const old = await cluster.leader();
  const toLeader = cluster.url;
  let strongUrl = old.url;
  const log = new EventStoreDbLog({
    createClient: (purpose) => {
      const url = purpose === 'strong reads' ? strongUrl : toLeader;
      return EventStoreDBClient.connectionString(`${url}&gossipTimeout=1&keepAliveInterval=${30_000 + clients++}`);
    },
    ...{ credentials: { username: 'a', password: 'test' }, fenceMaxAgeMs: FENCE_MAX_AGE_MS },
  });
  opened.push(log);
  expect(await strongRead(log)).toHaveLength(2);
  const { connectionEpoch } = log;

  old.freeze();
  await cluster.leader(old);
  const appended = await onceAnswered(() => warm.append(stream, 1n, newEvents(1)));
  if (appended instanceof LogRestored) throw appended;
  // The subscription tells this process of the event, while its strong reads still go to the old leader.
  const stop = new AbortController();
  await onceAnswered(async () => {
    for await (const { events } of log.subscribe({ signal: stop.signal })) {
      if (events.some(({ position }) => position === appended.position)) return;
    }
  });
  stop.abort();
  const reading = onceAnswered(() => strongRead(log));
  // The next connection for strong reads is a new one, so the process looks at the log again.
  await eventually(
    () => Promise.resolve(log.connectionEpoch),
    (epoch) => epoch > connectionEpoch,
  );
  old.thaw();
  await cluster.until(() => old.state?.role === 'follower' && old.state.isReady);
  strongUrl = toLeader;
  expect(await reading).toHaveLength(3);
  expect(log.restored).toBeUndefined();
});
