import { setTimeout as delay } from 'node:timers/promises';
import { type EventLog, LOG_TIME_BUDGET_MS } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { type Cluster, startCluster } from '../servers/eventstoredb/cluster.js';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { eventually } from '../support/api/http.js';
import { readAfter } from '../support/api/portal.js';
import { TcpProxy } from '../support/doubles/tcp-proxy.js';
import { LoadMeter } from '../support/load/load-meter.js';
import { Traffic } from '../support/load/traffic.js';
import { Deployment } from '../support/processes/deployment.js';

/** How long the readiness check may take to notice that a store is gone, in milliseconds. */
const NOTICE_MS = 2_000;
/** Time after an outage within which everything must work again, in milliseconds. */
const RECOVERY_MS = 10_000;
const FROZEN_MS = 15_000;
/**
 * How long the recovery may take if the leader stays silent, in milliseconds. A connection notices the silence within
 * 13 s, and then looks for another leader.
 */
const SILENCE_MS = 18_000;
/** How long an election takes, in milliseconds. The real server's elections take about the same time. */
const ELECTION_MS = 5_000;
/** How late an answer may be on an idle machine, in milliseconds. */
const SLACK_MS = 1_500;

const COMMANDS = 200;
const UNACKNOWLEDGED = 4;

let load: LoadMeter;
beforeEach(() => {
  load = new LoadMeter();
});
afterEach(() => {
  load.stop();
});

/** Checks everything that must hold after any outage. */
async function expectNothingLost(traffic: Traffic, deployment: Deployment, url: string): Promise<void> {
  await traffic.end();
  expect(traffic.unexpected).toEqual([]);
  expect(traffic.refusals.filter(({ retryAfter }) => retryAfter !== '1')).toEqual([]);
  expect(traffic.slowestMs).toBeLessThan(LOG_TIME_BUDGET_MS + SLACK_MS * load.slowdown);
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
    const url = `esdb://127.0.0.1:${network.port}?tls=false`;
    deployment = await Deployment.start({ EVENTSTOREDB_URL: url }, { standalone: true });
  });
  afterAll(async () => {
    const codes = await deployment.stop();
    await network.stop();
    await eventStore.stop();
    expect(codes).toEqual([0, 0, 0, 0]);
  });

  /**
   * Kills the server and drops its last answers. The callers then don't know whether some of their commands are in the
   * log.
   */
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
  ])(
    'that is %s under load loses and duplicates no command, and the processes use it again by themselves',
    async (_, begin, end) => {
      const client = await deployment.portal.newClient();
      const traffic = await Traffic.begin(deployment);
      await traffic.waitForCommands(COMMANDS);
      const linesBefore = deployment.outageLines();

      const begunAt = performance.now();
      await begin(traffic);
      const goneAt = performance.now();
      await deployment.waitForReadiness(503);
      expect(performance.now() - goneAt).toBeLessThan((NOTICE_MS + SLACK_MS) * load.slowdown);
      await traffic.waitForRefusals();
      await end(begunAt);

      const backAt = performance.now();
      await deployment.waitUntilWorking(client);
      expect(performance.now() - backAt).toBeLessThan(RECOVERY_MS * load.slowdown);
      await traffic.waitForCommands(COMMANDS);

      const added = () =>
        Object.fromEntries(
          [...deployment.outageLines()]
            .map(([what, times]) => [what, times - (linesBefore.get(what) ?? 0)] as const)
            .filter(([, times]) => times > 0),
        );
      const once = ['management', 'auth', 'projector', 'standalone'].flatMap((name) => [
        [`${name}: the event log can’t be used`, 1],
        [`${name}: the event log can be used again`, 1],
      ]);
      await eventually(
        () => Promise.resolve(added()),
        (found) => Object.keys(found).length >= once.length,
      );
      expect(added()).toEqual(Object.fromEntries(once));
      await expectNothingLost(traffic, deployment, eventStore.url);
    },
  );
});

describe('a process that is killed between the claim of an external id and the creation of its client', () => {
  it('leaves a claim that keeps others away for a minute, and by which the repeated command creates the client', async () => {
    const eventStore = await startEventStore();
    const network = await TcpProxy.start(() => eventStore.port);
    const deployment = await Deployment.start({ EVENTSTOREDB_URL: eventStore.url });
    try {
      const { portal } = deployment;
      const command = (number: number) => ({ name: 'First', externalId: `crm:${number}` });
      const keyOf = (number: number) => ({ 'idempotency-key': `create-crm-${number}` });
      let number = 0;
      await withLog(eventStore.url, async (log) => {
        const typesAfter = async (count: number) =>
          (await log.readAll({ limit: Infinity })).slice(count).map(({ type }) => type);
        /** Lets single answers through, until a claim is in the log. */
        const claimed = (count: number) =>
          eventually(
            async () => {
              network.release();
              network.hold();
              return typesAfter(count);
            },
            (types) => types.includes('ExternalIdClaimed'),
          );
        // The process must be killed before it knows of its claim. Otherwise the next command is tried.
        for (let types = ['ConsumerClientCreated']; types.includes('ConsumerClientCreated');) {
          network.release();
          const slow = await deployment.another('management', {
            EVENTSTOREDB_URL: `esdb://127.0.0.1:${network.port}?tls=false`,
          });
          const { length } = await log.readAll({ limit: Infinity });
          const lost = deployment
            .portalAt(slow)
            .create(command(++number), keyOf(number))
            .catch(() => undefined);
          await claimed(length);
          await slow.kill();
          await lost;
          types = await typesAfter(length);
        }
      });
      const [key, body] = [keyOf(number), command(number)];

      const taken = await portal.create({ name: 'Second', externalId: body.externalId });
      expect([taken.refusal, taken.problem.detail]).toEqual([
        '409 EXTERNAL_ID_TAKEN',
        expect.stringContaining('less than a minute ago'),
      ]);
      expect(Number(taken.header('retry-after'))).toBeGreaterThan(0);
      const repeated = await portal.create(body, key);
      expect([repeated.status, repeated.body.client]).toEqual([201, expect.objectContaining(body)]);
      expect((await portal.create(body, key)).body.client).toEqual(repeated.body.client);
      const found = await portal.list({ externalId: body.externalId }, readAfter(repeated));
      expect(found.body.items.map(({ clientId }) => clientId)).toEqual([repeated.body.client.clientId]);
    } finally {
      await deployment.stop();
      await network.stop();
      await eventStore.stop();
    }
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
    await traffic.waitForCommands(COMMANDS);

    const former = await cluster.leader();
    const lostAt = performance.now();
    if (how === 'killed') await former.kill();
    else former.freeze();
    await cluster.leader(former);
    const electedAt = performance.now();
    await deployment.waitUntilWorking(client);
    if (how === 'killed') expect(performance.now() - electedAt).toBeLessThan(RECOVERY_MS * load.slowdown);
    else expect(performance.now() - lostAt).toBeLessThan(SILENCE_MS + SLACK_MS * load.slowdown);

    if (how === 'killed') await former.restart();
    else former.thaw();
    await cluster.until(() => former.state?.role === 'follower' && former.state.isReady);
    await traffic.waitForCommands(COMMANDS);
    await expectNothingLost(traffic, deployment, cluster.url);
  });
});
