import { randomUUID } from 'node:crypto';
import { apiKeyLogin, clientCredentialsLogin, introspection } from '../auth/requests.mjs';
import { load, sendOnce } from '../load.mjs';
import { Companion } from '../processes.mjs';
import { row } from '../report.mjs';
import { median } from '../rounds.mjs';
import { addressOf, atAddress } from './servers.mjs';
import { Site, untilDone } from './site.mjs';

const ENDPOINT_NAME = 'weather';
/** Distances from EventStoreDB, in ms of a round trip. */
const DISTANCES_MS = [0, 2, 20];
/** How much longer than its round trips a call may take, in ms. */
const ALLOWANCE_MS = 5;

/**
 * Measures what calls cost while EventStoreDB is far away from the processes. One caller sends one call at a time.
 * Compares the median with that of the driver's bare calls over the same distance: a read of a stream's end is one round
 * trip, and a read and an append are two.
 */
export async function distances(bench, log, mongoUrl) {
  const seconds = bench.isQuick ? 0.3 : 4;
  const address = addressOf(log.url);
  if (!address) {
    bench.say('no distances: EVENTSTOREDB_URL names more than one node');
    return [];
  }
  const proxy = await companion(bench, 'distance', address);
  const far = atAddress(log, `127.0.0.1:${proxy.ready.port}`);
  const reads = await companion(bench, '../auth/raw-reads', { url: far.url });
  const appends = await companion(bench, 'raw-appends', { url: far.url });
  const site = await Site.open(bench, far, mongoUrl);
  await site.startAuth(bench);
  const calls = await callsOf(site);
  const rows = [];
  for (const roundTripMs of DISTANCES_MS) {
    bench.say(`${roundTripMs} ms away from EventStoreDB`);
    await proxy.ask({ roundTripMs });
    const read = 1000 / (await reads.ask({ callers: 1, seconds }));
    const append = 1000 / (await appends.ask({ callers: 1, seconds }));
    for (const { name, url, roundTrips, next } of calls) {
      await sendOnce(url, next());
      const { durations } = await load({ url, callers: 1, seconds, next });
      const reference = roundTrips === 1 ? read : read + append;
      const against = roundTrips === 1 ? 'one bare read' : 'a bare read, then a bare append';
      rows.push(
        row({
          ...{ section: `Calls ${roundTripMs} ms away from EventStoreDB (${log.name}), medians`, name, unit: 'ms' },
          ...{ value: median(durations), against, reference, target: withinAllowance },
        }),
      );
    }
  }
  return rows;
}

const withinAllowance = {
  says: `that + ${ALLOWANCE_MS} ms`,
  isMet: ({ value, reference }) => value <= reference + ALLOWANCE_MS,
};

/** The calls that are measured: the bytes of a request, and how many round trips it may take. */
async function callsOf(site) {
  const endpoint = `${ENDPOINT_NAME}-${randomUUID().slice(0, 8)}`;
  const subscription = { endpointUri: endpoint, serviceName: 'Weather forecasts' };
  await site.json('PUT', `/v1/subscriptions/${endpoint}`, subscription);
  const [[oauth, { clientId }], [key]] = [await site.createClients(2), await site.createClients(1, 'API_KEY')];
  for (const assigned of [oauth.clientId, clientId]) {
    await site.json('PUT', `/v1/clients/${assigned}/subscriptions/${endpoint}`);
  }
  const atEndpoint = clientCredentialsLogin(oauth, `/${endpoint}/login`);
  for (const login of [clientCredentialsLogin(oauth), atEndpoint, apiKeyLogin(key)]) {
    await untilDone(() => sendOnce(site.auth, login));
  }
  let renames = 0;
  const rename = (headers) => () =>
    site.request('PATCH', `/v1/clients/${clientId}`, { headers, body: { name: `Importer ${renames++}` } });
  const withKey = () => rename({ 'idempotency-key': randomUUID() })();
  let assignments = 0;
  const assignment = () => {
    const method = assignments++ % 2 ? 'PUT' : 'DELETE';
    const headers = { 'idempotency-key': randomUUID() };
    return site.request(method, `/v1/clients/${clientId}/subscriptions/${endpoint}`, { headers });
  };
  const token = JSON.parse(await sendOnce(site.auth, atEndpoint)).access_token;
  const [auth, management] = [site.auth, site.management];
  return [
    { name: 'login', url: auth, roundTrips: 1, next: () => clientCredentialsLogin(oauth) },
    { name: 'login at an endpoint', url: auth, roundTrips: 1, next: () => atEndpoint },
    { name: 'login with an API key', url: auth, roundTrips: 1, next: () => apiKeyLogin(key) },
    { name: 'introspection', url: auth, roundTrips: 1, next: () => introspection(oauth, token) },
    { name: 'rename', url: management, roundTrips: 2, next: rename() },
    { name: 'rename with an Idempotency-Key', url: management, roundTrips: 2, next: withKey },
    { name: 'unassign and assign with one', url: management, roundTrips: 2, next: assignment },
  ];
}

async function companion(bench, program, options) {
  const started = await Companion.start(`./stores/${program}.mjs`, options);
  bench.atEnd(() => started.stop());
  return started;
}
