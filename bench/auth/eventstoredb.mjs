import { load } from '../load.mjs';
import { row } from '../report.mjs';
import { alternatingMedians } from '../rounds.mjs';
import { eventStoreDb } from '../stores/servers.mjs';
import { apiKeyLogin, clientCredentialsLogin, introspection } from './requests.mjs';
import { CALLERS, companion, Stage } from './stage.mjs';

/**
 * Measures warm calls (secrets and tokens are already cached) on EventStoreDB, and compares these calls with bare reads
 * of the same server. On EventStoreDB every strong read (a read that returns every event acknowledged before) costs a
 * round trip.
 */
export async function onEventStoreDb(bench) {
  const { rounds, seconds } = bench.isQuick ? { rounds: 1, seconds: 0.1 } : { rounds: 5, seconds: 1.5 };
  bench.say('EventStoreDB');
  const { url, name, environment } = await eventStoreDb(bench);
  const stage = await Stage.open(bench, environment);
  const raw = await companion(bench, './auth/raw-reads.mjs', { url });
  const tokens = await stage.tokens();
  const repeating = (requests) => async () =>
    (await load({ url: stage.server.url, callers: CALLERS, seconds, next: (caller) => requests[caller] })).perSecond;
  const { reads, ...calls } = await alternatingMedians(rounds, {
    'client_credentials login': repeating(stage.oauth.map(({ credential }) => clientCredentialsLogin(credential))),
    'API-key login': repeating(stage.keys.map(({ credential }) => apiKeyLogin(credential))),
    introspection: repeating(stage.oauth.map(({ credential }, caller) => introspection(credential, tokens[caller]))),
    reads: () => raw.ask({ callers: CALLERS, seconds }),
  });
  await Promise.all([stage.server.stop(), raw.stop()]);
  const section = `Warm calls on EventStoreDB (${name}), ${CALLERS} callers`;
  return Object.entries(calls).map(([call, value]) =>
    row({ section, name: call, unit: 'calls/s', value, against: 'raw reads of a stream’s end', reference: reads }),
  );
}
