import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { EventLog } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { cachedReads, joiningReads, slowToAnswer } from '../support/altered-event-log.js';
import { startAuthNode } from '../support/auth-node.js';
import { type EventStore, startEventStore } from '../support/eventstoredb/event-store.js';
import { eventually } from '../support/http.js';
import { Marketplace, type MarketplaceOptions } from '../support/marketplace.js';

jest.setTimeout(90_000);

/** The directory is never believed: each gateway check reads the log. */
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

/** Every kind of call was tried with what was good, and with what was not any more; and all was answered rightly. */
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

describe('two nodes accept nothing that began after the acknowledgement of what made it bad', () => {
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
      await history.grown(100);
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
  /** Nodes of this process on the shared SQLite file. */
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

  /** It needs a call that meets the right moment: a few changes are enough mostly. */
  const untilSeen = ({ load, changes, history }: Marketplace) =>
    load.during(() =>
      eventually(
        async () => {
          await changes.carryOut(4);
          return history.acceptedLate().length;
        },
        (seen) => seen > 0,
        60,
      ),
    );

  test('sees it when the strong read is replaced by the cached state', async () => {
    await untilSeen(await start(onFile((log) => cachedReads(log, 20))));
  });

  test('sees it when a running read is joined', async () => {
    await untilSeen(await startOnEventStore(onServer((log) => joiningReads(slowToAnswer(log, 20)))));
  });

  test('blames no one for the same slow answers, not joined', async () => {
    const { load, changes, history } = await startOnEventStore(onServer((log) => slowToAnswer(log, 20)));
    await load.during(() => changes.carryOut(CHANGES));
    expectLinearizable({ history });
  });
});
