import { clientCredentialsLogin } from '../auth/requests.mjs';
import { pacedLoad, sendOnce } from '../load.mjs';
import { row } from '../report.mjs';
import { alternate, percentile } from '../rounds.mjs';

const section = 'Warm logins, 200 a second';
const CLIENTS = 16;

/** Measures how long logins take that come at a fixed rate, with secrets that were verified once before. */
export async function logins({ bench, large, small }) {
  bench.say('logins');
  const { rounds, seconds } = bench.isQuick ? { rounds: 1, seconds: 0.2 } : { rounds: 5, seconds: 3 };
  const [ofLarge, ofSmall] = [await loginsOf(large.server), await loginsOf(small.server)];
  const times = await alternate(rounds, {
    large: () => paced(large.server, ofLarge, seconds),
    small: () => paced(small.server, ofSmall, seconds),
  });
  return [
    ['p50', 0.5],
    ['p99', 0.99],
  ].map(([name, fraction]) =>
    row({
      ...{ section, name: `client_credentials login, ${name}`, unit: 'ms' },
      ...{ value: percentile(times.large.flat(), fraction), reference: percentile(times.small.flat(), fraction) },
      against: `${small.size.toLocaleString('en')} clients`,
    }),
  );
}

async function loginsOf(server) {
  const requests = [];
  for (let number = 0; number < CLIENTS; number++) {
    const body = { name: `Caller ${number}`, authenticationType: 'OAUTH2' };
    const request = clientCredentialsLogin((await server.json('POST', '/v1/clients', body)).credential);
    await sendOnce(server.url, request);
    requests.push(request);
  }
  return requests;
}

async function paced({ url }, requests, seconds) {
  let sent = 0;
  const next = () => requests[sent++ % requests.length];
  return (await pacedLoad({ url, connections: CLIENTS, perSecond: 200, seconds, next })).durations;
}
