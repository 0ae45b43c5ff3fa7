import { EventStoreDBClient } from '@eventstore/db-client';
import type { EventLog } from '#event-log';
import { type ConnectionPurpose, EventStoreDbLog } from '#event-log/eventstoredb';
import { type Cluster, startCluster } from '../servers/eventstoredb/cluster.js';
import { describeOnStandIn } from '../servers/eventstoredb/event-store.js';
import { unfencedReads } from '../support/doubles/altered-event-log.js';
import { Marketplace, type MarketplaceOptions } from '../support/load/marketplace.js';
import { startAuthNode } from '../support/processes/auth-node.js';

/**
 * How long an election takes, in ms. A fence is a write that proves that a connection reaches the leader. Elections are
 * shorter than in production, and fences are valid for a shorter time, in the same proportion. As in production, a
 * fence is valid for less time than an election takes.
 */
const ELECTION_MS = 1_500;
const STALE_MS = 1_500;
const FENCE_MAX_AGE_MS = 600;

let cluster: Cluster;
let marketplace: Marketplace | undefined;

beforeEach(async () => {
  cluster = await startCluster({ electionMs: ELECTION_MS, staleMs: STALE_MS });
});
afterEach(async () => {
  for (const node of cluster.nodes) node.thaw();
  await marketplace?.stop();
  marketplace = undefined;
  await cluster.stop();
});

/** Starts a marketplace (auth nodes, consumers and a portal) and waits until the consumers use all nodes. */
async function start(options: Omit<MarketplaceOptions, 'env'>): Promise<Marketplace> {
  const env = { EVENTSTOREDB_URL: cluster.url, FENCE_MAX_AGE_MS: String(FENCE_MAX_AGE_MS), GATEWAY_MAX_LAG_MS: '0' };
  const started = (marketplace = await Marketplace.start({ ...options, env }));
  await started.load.during(() => started.changes.carryOut(10));
  return started;
}

/**
 * Pauses the leader, ends clients through the new leader, and resumes the old leader. The old leader then still answers
 * from its old state for a while.
 */
async function replaceLeader({ load, changes }: Marketplace, nodesAsk: 'meanwhile' | 'afterwards') {
  const old = await cluster.leader();
  const endMuch = async () => {
    old.freeze();
    await cluster.leader(old);
    await changes.carryOut(8, { callsBetween: 0, kinds: ['rotate', 'unassign', 'end', 'revoke'] });
  };
  if (nodesAsk === 'afterwards') await endMuch();
  await load.during(async () => {
    if (nodesAsk === 'meanwhile') await endMuch();
    old.thaw();
    await cluster.until(() => old.state?.role === 'follower' && old.state.isReady);
  });
}

test('nodes accept nothing that a replaced leader still thinks good', async () => {
  const market = await start({});
  const { load, history } = market;
  await replaceLeader(market, 'afterwards');
  await replaceLeader(market, 'meanwhile');
  await load.during(() => history.waitForCalls(100));
  expect(history.acceptedLate()).toEqual([]);
  expect(history.refusedEarly()).toEqual([]);
  expect(history.late.length).toBeGreaterThan(100);
});

/** The nodes' connections for reads still go to the old leader. The nodes' other connections go to the new leader. */
describe('nodes that still read from the old leader', () => {
  let clients = 0;

  const startReadingAt = async (alter: (log: EventLog) => EventLog): Promise<Marketplace> => {
    const { url: oldUrl } = await cluster.leader();
    const clientFor = (purpose: ConnectionPurpose) => {
      const url = purpose === 'reads' || purpose === 'strong reads' ? oldUrl : cluster.url;
      return EventStoreDBClient.connectionString(`${url}&gossipTimeout=1&keepAliveInterval=${20_000 + clients++}`);
    };
    const openLog = () =>
      new EventStoreDbLog({
        createClient: clientFor,
        credentials: { username: 'a', password: 'test' },
        fenceMaxAgeMs: FENCE_MAX_AGE_MS,
        deadlineMs: 1_000,
      });
    return start({ startNode: (env) => startAuthNode(env, () => Promise.resolve(alter(openLog()))) });
  };

  test('accept nothing that only the old leader still thinks good', async () => {
    const market = await startReadingAt((log) => log);
    await replaceLeader(market, 'afterwards');
    expect(market.history.acceptedLate()).toEqual([]);
  });

  describeOnStandIn('whose old leader stays stale for long', () => {
    test('would fail this test without the fence', async () => {
      const market = await startReadingAt(unfencedReads);
      await replaceLeader(market, 'afterwards');
      expect(market.history.acceptedLate()).not.toEqual([]);
    });
  });
});
