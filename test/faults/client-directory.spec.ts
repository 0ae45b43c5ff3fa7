import { join } from 'node:path';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { GatewayDouble } from '../support/api/gateway.js';
import { eventually, send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { subscriptionsWithoutEvents } from '../support/doubles/altered-event-log.js';
import { TcpProxy } from '../support/doubles/tcp-proxy.js';
import type { AuthNode } from '../support/load/consumer-load.js';
import { LoadMeter } from '../support/load/load-meter.js';
import { Marketplace, type MarketplaceOptions } from '../support/load/marketplace.js';
import { startAuthNode } from '../support/processes/auth-node.js';

/** How far the client directory (the client states in memory) may be behind the log, in milliseconds. */
const BOUND_MS = 1_000;
/**
 * Upper limit for the 99th percentile of the time from the end of a credential to its denial on an idle machine, in ms.
 * The limit is far above the usual value.
 */
const DENIAL_P99_MS = 500;

let closing: (() => Promise<void>)[];
beforeEach(() => {
  closing = [];
});
afterEach(async () => {
  for (const close of closing.reverse()) await close();
});

async function start(options: MarketplaceOptions = {}): Promise<Marketplace> {
  const marketplace = await Marketplace.start(options);
  closing.push(marketplace.stop);
  return marketplace;
}

async function eventStore(): Promise<EventStore> {
  const store = await startEventStore();
  closing.push(() => store.stop());
  return store;
}

/** Resolves to how far the node's client directory is behind the log, in seconds. */
async function directoryLag({ url }: AuthNode): Promise<number> {
  const { text } = await send('GET', url, '/metrics');
  return Number(/^gateway_directory_lag_seconds (\S+)$/m.exec(text)?.[1]);
}

/**
 * Expects that gateway checks deny an ended credential within `BOUND_MS`. Expects that all other calls deny an ended
 * credential at once, because those calls use strong reads (reads that return every event acknowledged before).
 */
function expectDeniedInTime({ history }: Marketplace): void {
  expect(history.acceptedLate().filter(({ what }) => what !== 'check')).toEqual([]);
  expect(history.acceptedLate(BOUND_MS)).toEqual([]);
}

const logs: [string, () => Promise<MarketplaceOptions>][] = [
  ['an SQLite file', () => Promise.resolve({})],
  ['EventStoreDB', async () => ({ env: { EVENTSTOREDB_URL: (await eventStore()).url } })],
];

describe.each(logs)('gateway checks by the client directory, on %s', (_, optionsOf) => {
  test('accept no ended token or credential beyond the bound, and refuse no good one', async () => {
    const market = await start({ ...(await optionsOf()), actions: ['check', 'check', 'check', 'login'] });
    const { load, changes, history, nodes } = market;
    const meter = new LoadMeter();
    await load.during(async () => {
      await changes.carryOut(60, { callsBetween: 30 });
      for (const node of nodes) {
        await eventually(
          () => directoryLag(node),
          (seconds) => seconds < BOUND_MS / 1000,
        );
      }
    });
    meter.stop();
    expectDeniedInTime(market);
    expect(history.refusedEarly()).toEqual([]);
    const delays = history.denialDelays('check');
    expect(delays.length).toBeGreaterThan(30);
    expect(delays[Math.ceil(delays.length * 0.99) - 1]).toBeLessThan(DENIAL_P99_MS * meter.slowdown);
  });

  test('see a revocation that happens while the directory is being filled', async () => {
    const market = await start(await optionsOf());
    const { history, portal, nodes } = market;
    await portal.register('sub_weather', { endpointUri: 'weather' });
    const revokeWhileFilling = async () => {
      const client = await portal.newClient();
      await portal.assign(client.clientId, 'sub_weather');
      const [first] = nodes;
      const token = first && (await oauthLogin(first.url, client)).body.access_token;
      const check = (node: AuthNode) =>
        history.call('check', [client.clientId], async () => {
          const { status } = await new GatewayDouble(node).check({ ...(token !== undefined && { token }) });
          return { verdict: status === 200 ? 'accepted' : 'refused' };
        });
      const revoked = history.end(client.clientId, async () => (await portal.revoke(client.clientId)).body);
      const untilDenied = async (node: AuthNode) => {
        while ((await check(node)).verdict === 'accepted');
        await revoked;
        return check(node);
      };
      await Promise.all(nodes.map(untilDenied));
    };
    for (let round = 0; round < 10; round++) await Promise.all([revokeWhileFilling(), revokeWhileFilling()]);
    expectDeniedInTime(market);
    expect(history.late.filter(({ verdict }) => verdict === 'refused').length).toBeGreaterThanOrEqual(40);
  });
});

describe('a subscription to the log that falls silent without an error', () => {
  /**
   * Revokes clients, unassigns clients and ends marketplace subscriptions, while the nodes' subscriptions to the log
   * deliver nothing. The nodes go on trusting their client directories for `maxLagMs` of this silence.
   */
  const endMuchInSilence = async (maxLagMs: number): Promise<Marketplace> => {
    const store = await eventStore();
    const proxy = await TcpProxy.start(() => store.port);
    closing.push(() => proxy.stop());
    const market = await start({
      env: { EVENTSTOREDB_URL: store.url },
      nodeEnv: {
        EVENTSTOREDB_URL: `esdb://127.0.0.1:${proxy.port}?tls=false`,
        GATEWAY_MAX_LAG_MS: String(maxLagMs),
      },
      actions: ['check', 'check', 'check', 'login'],
    });
    const { load, changes, history } = market;
    const lateChecks = () => history.late.filter(({ what, verdict }) => what === 'check' && verdict !== 'unavailable');
    await load.during(async () => {
      await changes.carryOut(10);
      proxy.dropAnswers();
      await changes.carryOut(6, { callsBetween: 0, kinds: ['revoke', 'end', 'unassign'] });
      const silentAt = performance.now();
      // After `maxLagMs`, the nodes no longer trust their directories, but read the log over new connections. The new
      // connections work.
      await eventually(
        () => Promise.resolve(lateChecks()),
        (calls) => calls.filter(({ beganAt }) => beganAt > silentAt + BOUND_MS).length > 50,
      );
    });
    return market;
  };

  test('is not trusted: gateway checks accept nothing ended beyond the bound', async () => {
    expectDeniedInTime(await endMuchInSilence(BOUND_MS));
  });

  test('would fail this test if it were trusted', async () => {
    const { history } = await endMuchInSilence(60_000);
    expect(history.acceptedLate(BOUND_MS)).not.toEqual([]);
  });
});

test('this test detects a directory that misses events', async () => {
  const { load, changes, history } = await start({
    actions: ['check', 'login'],
    startNode: (env) =>
      startAuthNode(env, async () =>
        subscriptionsWithoutEvents(await openSqliteEventLog({ file: join(env.DATA_DIR ?? '', 'event-log.db') })),
      ),
  });
  await load.during(() =>
    eventually(
      async () => {
        await changes.carryOut(4);
        return history.acceptedLate(BOUND_MS).length;
      },
      (seen) => seen > 0,
    ),
  );
});
