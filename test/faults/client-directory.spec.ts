import { join } from 'node:path';
import { openSqliteEventLog } from '#event-log/sqlite';
import { subscriptionsWithoutEvents } from '../support/altered-event-log.js';
import { startAuthNode } from '../support/auth-node.js';
import type { AuthNode } from '../support/consumer-load.js';
import { type EventStore, startEventStore } from '../support/eventstoredb/event-store.js';
import { GatewayDouble } from '../support/gateway.js';
import { eventually, send } from '../support/http.js';
import { oauthLogin } from '../support/login.js';
import { Marketplace, type MarketplaceOptions } from '../support/marketplace.js';
import { TcpProxy } from '../support/tcp-proxy.js';

jest.setTimeout(90_000);

/** By so much, in milliseconds, the client directory may be behind the log. */
const BOUND_MS = 1_000;
/** Far above what is measured on an idle machine: this one is shared. */
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

/** Seconds. */
async function directoryLag({ url }: AuthNode): Promise<number> {
  const { text } = await send('GET', url, '/metrics');
  return Number(/^gateway_directory_lag_seconds (\S+)$/m.exec(text)?.[1]);
}

/** Checks within their bound; the others, which read strongly, at once. */
function expectDeniedInTime({ history }: Marketplace): void {
  expect(history.acceptedLate().filter(({ what }) => what !== 'check')).toEqual([]);
  expect(history.acceptedLate(BOUND_MS)).toEqual([]);
}

const logs: [string, () => Promise<MarketplaceOptions>][] = [
  ['an SQLite file', () => Promise.resolve({})],
  ['EventStoreDB', async () => ({ env: { EVENTSTOREDB_URL: (await eventStore()).url } })],
];

describe.each(logs)('gateway checks by the client directory, on %s', (_, optionsOf) => {
  test('accept nothing for long after the acknowledgement of what made it bad, and refuse nothing good', async () => {
    const market = await start({ ...(await optionsOf()), actions: ['check', 'check', 'check', 'login'] });
    const { load, changes, history, nodes } = market;
    await load.during(async () => {
      await changes.carryOut(60, { callsBetween: 30 });
      for (const node of nodes) expect(await directoryLag(node)).toBeLessThan(BOUND_MS / 1000);
    });
    expectDeniedInTime(market);
    expect(history.refusedEarly()).toEqual([]);
    const delays = history.denialDelays('check');
    expect(delays.length).toBeGreaterThan(30);
    expect(delays[Math.ceil(delays.length * 0.99) - 1]).toBeLessThan(DENIAL_P99_MS);
  });

  test('see a revocation that meets the filling of the directory', async () => {
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

describe('a subscription that falls silent without a word', () => {
  /** Much is ended that the nodes, which believe their directories for `maxLagMs`, can't hear of. */
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
      proxy.mute();
      await changes.carryOut(6, { callsBetween: 0, kinds: ['revoke', 'end', 'unassign'] });
      const silentAt = performance.now();
      // What the nodes ask once they have lost patience goes over new connections, and is answered.
      await eventually(
        () => Promise.resolve(lateChecks()),
        (calls) => calls.filter(({ beganAt }) => beganAt > silentAt + BOUND_MS).length > 50,
        20,
      );
    });
    return market;
  };

  test('is not believed: gateway checks accept nothing for long', async () => {
    expectDeniedInTime(await endMuchInSilence(BOUND_MS));
  });

  test('is seen by this test where it is believed', async () => {
    const { history } = await endMuchInSilence(60_000);
    expect(history.acceptedLate(BOUND_MS)).not.toEqual([]);
  });
});

test('the test sees it when the directory misses events', async () => {
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
      30,
    ),
  );
});
