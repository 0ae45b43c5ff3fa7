import { setTimeout as delay } from 'node:timers/promises';
import { type EventLog, PATIENCE_MS } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { Deployment } from '../support/deployment.js';
import { type Cluster, startCluster } from '../support/eventstoredb/cluster.js';
import { type EventStore, startEventStore } from '../support/eventstoredb/event-store.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { Traffic } from '../support/traffic.js';

/** An outage lasts up to 15 s, and what follows it up to 10 s. */
jest.setTimeout(60_000);

/** What readiness may take to see that a store is gone, and what it takes until all is well again, in milliseconds. */
const NOTICE_MS = 2_000;
const RECOVERY_MS = 10_000;
const FROZEN_MS = 15_000;
/** The same after a leader fell silent: each connection notices it after 13 s at most, and then looks for another. */
const SILENCE_MS = 18_000;
/** As long as the real server's. */
const ELECTION_MS = 5_000;
/** By so much five busy processes on two cores may be late. */
const SLACK_MS = 1_500;

const COMMANDS = 200;
const UNACKNOWLEDGED = 4;

/** What holds of every outage once it is over. */
async function expectNothingLost(traffic: Traffic, deployment: Deployment, url: string): Promise<void> {
  await traffic.end();
  expect(traffic.strange).toEqual([]);
  expect(traffic.refusals.filter(({ retryAfter }) => retryAfter !== '1')).toEqual([]);
  expect(traffic.slowestMs).toBeLessThan(PATIENCE_MS + SLACK_MS);
  expect(deployment.alarms()).toEqual([]);
  await withLog(url, (log) => traffic.expectInLogOnce(log));
}

async function withLog(url: string, use: (log: EventLog) => Promise<void>): Promise<void> {
  const log = openEventStoreDbLog({ url });
  try {
    await use(log);
  } finally {
    await log.close();
  }
}

describe('an event store of one node', () => {
  let eventStore: EventStore;
  let network: TcpProxy;
  let deployment: Deployment;
  beforeAll(async () => {
    eventStore = await startEventStore();
    network = await TcpProxy.start(() => eventStore.port);
    deployment = await Deployment.start({ EVENTSTOREDB_URL: `esdb://127.0.0.1:${network.port}?tls=false` });
  });
  afterAll(async () => {
    const codes = await deployment.stop();
    await network.stop();
    await eventStore.stop();
    expect(codes).toEqual([0, 0, 0]);
  });

  /** Its last answers are lost, so that nobody knows of some commands whether they are in the log. */
  const kill = async (traffic: Traffic) => {
    await withLog(eventStore.url, async (log) => {
      do {
        network.release();
        network.hold();
      } while ((await traffic.unacknowledgedIn(log)) < UNACKNOWLEDGED);
    });
    await eventStore.kill();
    network.cut();
  };
  const freeze = () => {
    eventStore.freeze();
    return Promise.resolve();
  };
  const thaw = async (begunAt: number) => {
    await delay(begunAt + FROZEN_MS - performance.now());
    eventStore.thaw();
  };

  it.each<[how: string, begin: (traffic: Traffic) => Promise<unknown>, end: (begunAt: number) => Promise<void>]>([
    ['killed', kill, () => eventStore.restart()],
    ['frozen for 15 s', freeze, thaw],
    ['terminated', () => eventStore.terminate(), () => eventStore.restart()],
  ])('that is %s under load loses no command, doubles none, and is used again by itself', async (_, begin, end) => {
    const client = await deployment.portal.newClient();
    const traffic = await Traffic.begin(deployment);
    await traffic.goesOn(COMMANDS);
    const warnedBefore = deployment.warnings();

    const begunAt = performance.now();
    await begin(traffic);
    const goneAt = performance.now();
    await deployment.readinessIs(503);
    expect(performance.now() - goneAt).toBeLessThan(NOTICE_MS + SLACK_MS);
    await traffic.isRefused();
    await end(begunAt);

    const backAt = performance.now();
    await deployment.works(client);
    expect(performance.now() - backAt).toBeLessThan(RECOVERY_MS);
    await traffic.goesOn(COMMANDS);

    const warned = [...deployment.warnings()]
      .map(([what, times]) => [what, times - (warnedBefore.get(what) ?? 0)] as const)
      .filter(([, times]) => times > 0);
    expect(Object.fromEntries(warned)).toEqual({
      'management: event log: readiness check failed': 1,
      'auth: event log: readiness check failed': 1,
      'auth: the client directory lost the log; each gateway check reads it': 1,
      'projector: event log: readiness check failed': 1,
      'projector: clients: the projection waits for a store': 1,
      'projector: subscriptions: the projection waits for a store': 1,
      'projector: history: the projection waits for a store': 1,
      'projector: assignments: the projection waits for a store': 1,
    });
    await expectNothingLost(traffic, deployment, eventStore.url);
  });
});

describe('a cluster', () => {
  let cluster: Cluster;
  let deployment: Deployment;
  beforeAll(async () => {
    cluster = await startCluster({ electionMs: ELECTION_MS });
    deployment = await Deployment.start({ EVENTSTOREDB_URL: cluster.url });
  });
  afterAll(async () => {
    const codes = await deployment.stop();
    await cluster.stop();
    expect(codes).toEqual([0, 0, 0]);
  });

  it.each(['killed', 'frozen'] as const)('whose leader is %s under load fails over by itself', async (how) => {
    const client = await deployment.portal.newClient();
    const traffic = await Traffic.begin(deployment);
    await traffic.goesOn(COMMANDS);

    const former = await cluster.leader();
    const lostAt = performance.now();
    if (how === 'killed') await former.kill();
    else former.freeze();
    await cluster.leader(former);
    const electedAt = performance.now();
    await deployment.works(client);
    if (how === 'killed') expect(performance.now() - electedAt).toBeLessThan(RECOVERY_MS);
    else expect(performance.now() - lostAt).toBeLessThan(SILENCE_MS + SLACK_MS);

    if (how === 'killed') await former.restart();
    else former.thaw();
    await cluster.until(() => former.state?.role === 'follower' && former.state.isReady);
    await traffic.goesOn(COMMANDS);
    await expectNothingLost(traffic, deployment, cluster.url);
  });
});
