import { leaveOneCore } from '../cores.mjs';
import { onEventStoreDb } from './eventstoredb.mjs';
import { latencies } from './latencies.mjs';
import { rates } from './rates.mjs';
import { revocations } from './revocations.mjs';
import { Stage } from './stage.mjs';

/**
 * Measures the calls that API consumers and gateways make. The measured servers run on the machine's first core, the
 * callers on the other cores.
 */
export async function auth(bench) {
  if (!leaveOneCore()) bench.say('no core of its own for the servers: taskset and a second core are needed');
  const stage = await Stage.open(bench);
  const rows = [];
  for (const part of [rates, latencies, revocations]) rows.push(...(await part(bench, stage)));
  await stage.server.stop();
  return [...rows, ...(await onEventStoreDb(bench))];
}
