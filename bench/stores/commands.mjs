import { load } from '../load.mjs';
import { Companion } from '../processes.mjs';
import { ratioAtLeast, row } from '../report.mjs';
import { alternatingMedians } from '../rounds.mjs';
import { Site } from './site.mjs';

const section = 'Durable commands on EventStoreDB';
const CALLERS = 64;
const CLIENTS_PER_CALLER = 4;

/**
 * Measures renames over HTTP through `apps/management`. Compares them with the fair limit, a bare Fastify route that
 * makes one unary append (one gRPC call per append) by the bare driver, and with these appends alone, without HTTP.
 */
export async function commands(bench, log, mongoUrl) {
  const { rounds, seconds } = bench.isQuick ? { rounds: 1, seconds: 0.2 } : { rounds: 5, seconds: 2 };
  bench.say('commands on EventStoreDB');
  const site = await Site.open(bench, log, mongoUrl);
  const clients = await site.createClients(CALLERS * CLIENTS_PER_CALLER);
  const raw = await started(bench, './stores/raw-appends.mjs', log);
  const bare = await started(bench, './stores/bare-renames.mjs', log);
  let issued = 0;
  const rename = (caller) => {
    const { clientId } = clients[caller * CLIENTS_PER_CALLER + (issued++ % CLIENTS_PER_CALLER)];
    return site.request('PATCH', `/v1/clients/${clientId}`, { body: { name: `Forecast importer ${issued}` } });
  };
  const renames = async (url) => (await load({ url, callers: CALLERS, seconds, next: rename })).perSecond;
  const { ours, viaBare, appended } = await alternatingMedians(rounds, {
    ours: () => renames(site.management),
    viaBare: () => renames(bare.ready.url),
    appended: () => raw.ask({ callers: CALLERS, seconds }),
  });
  const figures = { section, name: `rename, ${CALLERS} callers, ${log.name}`, unit: 'commands/s', value: ours };
  const fairLimit = { against: 'bare Fastify route with a unary append', reference: viaBare };
  return [
    row({ ...figures, ...fairLimit, target: ratioAtLeast(0.7) }),
    row({ ...figures, against: 'raw unary appends', reference: appended }),
  ];
}

async function started(bench, program, { url }) {
  const companion = await Companion.start(program, { url });
  bench.atEnd(() => companion.stop());
  return companion;
}
