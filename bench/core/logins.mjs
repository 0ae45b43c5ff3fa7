import { apiKeyLogin, clientCredentialsLogin } from '../auth/requests.mjs';
import { load, sendOnce } from '../load.mjs';
import { Companion, MeasuredStandalone } from '../processes.mjs';
import { row } from '../report.mjs';
import { alternatingMedians } from '../rounds.mjs';

const section = 'Warm logins at 16 callers';
const CALLERS = 16;

/**
 * Measures logins. Each caller has its own client, whose secret the service has verified once before. The bare server
 * gets the same requests.
 */
export async function logins(bench) {
  const { rounds, seconds } = bench.isQuick ? { rounds: 1, seconds: 0.1 } : { rounds: 5, seconds: 1.5 };
  bench.say('logins');
  const server = await MeasuredStandalone.start(bench, bench.newFolder('logins'));
  const bare = await Companion.start('./bare-routes.mjs', { work: 'signature' });
  bench.atEnd(() => bare.stop());
  const rows = [];
  for (const [name, authenticationType, requestOf] of [
    ['API key', 'API_KEY', apiKeyLogin],
    ['client credentials', 'OAUTH2', clientCredentialsLogin],
  ]) {
    const requests = await Promise.all(
      Array.from({ length: CALLERS }, async (_, caller) => {
        const body = { name: `Importer ${caller}`, authenticationType };
        return requestOf((await server.json('POST', '/v1/clients', body)).credential);
      }),
    );
    for (const request of requests) await sendOnce(server.url, request);
    const wanted = { callers: CALLERS, seconds, next: (caller) => requests[caller] };
    const { ours, viaBare } = await alternatingMedians(rounds, {
      ours: async () => (await load({ ...wanted, url: server.url })).perSecond,
      viaBare: async () => (await load({ ...wanted, url: bare.ready.url })).perSecond,
    });
    const figures = { section, name, unit: 'logins/s', value: ours };
    rows.push(row({ ...figures, against: 'bare Fastify, one Ed25519 signature', reference: viaBare }));
  }
  await Promise.all([server.stop(), bare.stop()]);
  return rows;
}
