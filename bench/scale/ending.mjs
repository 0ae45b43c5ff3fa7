import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { load } from '../load.mjs';
import { below, ratioAtLeast, row } from '../report.mjs';

const section = 'Ending a subscription';
/** Number of callers that rename other clients meanwhile. */
const CALLERS = 16;
const GIVE_UP_AFTER_MS = 120_000;

/**
 * Ends a subscription while other callers rename clients that it does not have. Measures how long it takes until all its
 * clients are unassigned, and the speed of the renames compared with the speed before. The next batch of events is
 * counted about every 20 ms.
 *
 * `server` is a `MeasuredStandalone`, `log` its open event log. `subscriptionId` is to be ended, and has `clients`
 * clients. `others` are the ids of at least 16 clients that it does not have. `seconds`: how long the renames are
 * measured before.
 */
export async function endSubscription({ server, log, subscriptionId, clients, others, seconds }) {
  let issued = 0;
  const next = (caller) => {
    const clientId = others[caller + CALLERS * (issued % Math.floor(others.length / CALLERS))];
    return server.request('PATCH', `/v1/clients/${clientId}`, { body: { name: `Forecast importer ${issued++}` } });
  };
  const renames = (during) => load({ url: server.url, callers: CALLERS, seconds: during, next });
  const alone = await renames(seconds);
  let position = await log.end();
  const startedAt = performance.now();
  await server.json('DELETE', `/v1/subscriptions/${subscriptionId}`);
  let isDone = false;
  let renamed = 0;
  const keepRenaming = async () => {
    while (!isDone) renamed += (await renames(0.1)).answered;
    return performance.now() - startedAt;
  };
  const renaming = keepRenaming();
  let left = clients;
  try {
    while (left > 0) {
      if (performance.now() - startedAt > GIVE_UP_AFTER_MS) throw new Error(`${left} clients are still assigned`);
      const page = await log.readAll({ after: position, limit: 5000 });
      left -= page.filter(({ type, data }) => isUnassignment(type, data, subscriptionId)).length;
      position = page.at(-1)?.position ?? position;
      await delay(20);
    }
  } finally {
    isDone = true;
  }
  const unassignedAfterMs = performance.now() - startedAt;
  const renamedForMs = await renaming;
  return [
    row({
      ...{ section, name: `all ${clients} clients unassigned`, unit: 's', value: unassignedAfterMs / 1000 },
      target: below(10, 's'),
    }),
    row({
      ...{ section, name: `renames by ${CALLERS} others meanwhile`, unit: 'commands/s' },
      ...{ value: (renamed / renamedForMs) * 1000, against: 'before', reference: alone.perSecond },
      target: ratioAtLeast(0.5),
    }),
  ];
}

const isUnassignment = (type, data, subscriptionId) =>
  type === 'ConsumerClientUnassignedFromSubscription' && data.subscriptionId === subscriptionId;
