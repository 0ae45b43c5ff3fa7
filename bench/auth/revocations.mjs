import { performance } from 'node:perf_hooks';
import { Connection } from '../load.mjs';
import { atMost, below, row } from '../report.mjs';
import { percentile } from '../rounds.mjs';
import { clientCredentialsLogin, gatewayCheck } from './requests.mjs';
import { accessToken, ENDPOINT, standalone } from './stage.mjs';

const section = 'After a revocation, on another process of the same log';
const LOGINS_EACH = 5;

/**
 * Measures how soon a revocation takes effect: one process revokes clients, while another process serves the logins of
 * these clients and the gateway checks of their tokens.
 */
export async function revocations(bench, stage) {
  bench.say('revocations');
  const consumers = await stage.consumers('OAUTH2', bench.isQuick ? 10 : 200);
  const other = await standalone(bench, stage.server.dataDir);
  const [management, logins, gateway] = await Promise.all(
    [stage.server.url, other.url, other.url].map((url) => Connection.open(url)),
  );
  let accepted = 0;
  const untilDenied = [];
  for (const { credential } of consumers) {
    const login = clientCredentialsLogin(credential);
    const check = gatewayCheck(stage.gatewaySecret, ENDPOINT, await accessToken(other.url, credential));
    await gateway.send(check);
    const { clientId } = credential;
    await management.send(
      stage.server.request('POST', `/v1/clients/${clientId}/revoke`, { body: { reason: 'The importer was retired' } }),
    );
    const acknowledgedAt = performance.now();
    const denial = firstDenial(gateway, check, acknowledgedAt);
    for (let count = 0; count < LOGINS_EACH; count++) {
      const { status } = await logins.exchange(login);
      if (status !== 401) accepted++;
    }
    untilDenied.push((await denial) - acknowledgedAt);
  }
  for (const connection of [management, logins, gateway]) connection.close();
  await other.stop();
  return [
    row({
      ...{ section, name: `logins accepted, of ${consumers.length * LOGINS_EACH}`, unit: 'logins', value: accepted },
      target: atMost(0),
    }),
    row({
      ...{ section, name: `gateway denies, p99 of ${consumers.length}`, unit: 'ms' },
      ...{ value: percentile(untilDenied, 0.99), target: below(50, 'ms') },
    }),
  ];
}

/** Repeats the gateway check. Returns the time (of `performance.now()`) of the first denial. */
async function firstDenial(gateway, check, acknowledgedAt) {
  while (performance.now() - acknowledgedAt < 10_000) {
    const { status } = await gateway.exchange(check);
    if (status === 403) return performance.now();
  }
  throw new Error('The gateway check went on accepting a revoked client for 10 s');
}
