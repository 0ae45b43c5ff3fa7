import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { EventLog } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { eventually } from '../support/api/http.js';
import { cachedReads, joiningReads, slowToAnswer } from '../support/doubles/altered-event-log.js';
import { Marketplace, type MarketplaceOptions } from '../support/load/marketplace.js';
import { startAuthNode } from '../support/processes/auth-node.js';

/**
 * With 0, the client directory (the client states in memory) is allowed no lag behind the log. So each gateway check
 * reads the log instead.
 */
const STRONG_CHECKS = { GATEWAY_MAX_LAG_MS: '0' };
const CHANGES = 40;
const FROZEN_MS = 500;

let marketplace: Marketplace | undefined;
let eventStore: EventStore | undefined;

afterEach(async () => {
  await marketplace?.stop();
  await eventStore?.stop();
  [marketplace, eventStore] = [undefined, undefined];
});

async function start({ env, ...options }: MarketplaceOptions): Promise<Marketplace> {
  return (marketplace = await Marketplace.start({ ...options, env: { ...env, ...STRONG_CHECKS } }));
}

async function startOnEventStore(options: MarketplaceOptions = {}): Promise<Marketplace> {
  eventStore = await startEventStore();
  return start({ ...options, env: { EVENTSTOREDB_URL: eventStore.url } });
}

/**
 * Expects that no call was answered wrongly, and that each kind of call was tried with good and with ended credentials.
 */
function expectLinearizable({ history }: Pick<Marketplace, 'history'>): void {
  expect(history.acceptedLate()).toEqual([]);
  expect(history.refusedEarly()).toEqual([]);
  const late = new Set(history.late);
  for (const kind of ['login', 'refresh', 'introspect', 'check']) {
    const calls = history.calls.filter(({ what }) => what === kind);
    expect(calls.filter(({ verdict }) => verdict === 'accepted').length).toBeGreaterThan(20);
    expect(calls.filter((call) => late.has(call)).length).toBeGreaterThan(20);
  }
}

describe('two nodes accept no call that began after the acknowledged end of its token or credential', () => {
  test('on an SQLite file that they share', async () => {
    const { load, changes, history } = await start({});
    await load.during(() => changes.carryOut(CHANGES));
    expectLinearizable({ history });
  });

  test('on EventStoreDB', async () => {
    const { load, changes, history } = await startOnEventStore();
    await load.during(() => changes.carryOut(CHANGES));
    expectLinearizable({ history });
  });

  test.each(['killed', 'frozen'] as const)('on EventStoreDB that is %s again and again', async (how) => {
    const { load, changes, history } = await startOnEventStore();
    const disturb = async () => {
      await history.waitForCalls(100);
      if (how === 'killed') {
        await eventStore?.kill();
        await eventStore?.restart();
      } else {
        eventStore?.freeze();
        await delay(FROZEN_MS);
        eventStore?.thaw();
      }
    };
    await load.during(async () => {
      const changing = changes.carryOut(CHANGES);
      for (let round = 0; round < 3; round++) await disturb();
      await changing;
    });
    expectLinearizable({ history });
  });
});

describe('this test', () => {
  /** Starts auth nodes inside this process, on the SQLite file that all nodes share. */
  const onFile = (altered: (log: EventLog) => EventLog): MarketplaceOptions => ({
    startNode: (env) =>
      startAuthNode(env, async () =>
        altered(await openSqliteEventLog({ file: join(env.DATA_DIR ?? '', 'event-log.db') })),
      ),
  });
  const onServer = (altered: (log: EventLog) => EventLog): MarketplaceOptions => ({
    startNode: ({ EVENTSTOREDB_URL: url = '', ...env }) =>
      startAuthNode(env, () => Promise.resolve(altered(openEventStoreDbLog({ url })))),
  });

  /** Changes clients until a call happens at the moment that reveals the flaw. Usually a few changes are enough. */
  const untilSeen = ({ load, changes, history }: Marketplace) =>
    load.during(() =>
      eventually(
        async () => {
          await changes.carryOut(4);
          return history.acceptedLate().length;
        },
        (seen) => seen > 0,
      ),
    );

  test('detects nodes that use a cached state in place of a strong read', async () => {
    await untilSeen(await start(onFile((log) => cachedReads(log, 20))));
  });

  test('detects nodes that join a running read', async () => {
    await untilSeen(await startOnEventStore(onServer((log) => joiningReads(slowToAnswer(log, 20)))));
  });

  test('accepts nodes with the same slow reads that do not join them', async () => {
    const { load, changes, history } = await startOnEventStore(onServer((log) => slowToAnswer(log, 20)));
    await load.during(() => changes.carryOut(CHANGES));
    expectLinearizable({ history });
  });
});
