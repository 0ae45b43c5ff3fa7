import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { giveOneCore } from '../cores.mjs';
import { sendOnce } from '../load.mjs';
import { Companion, MeasuredStandalone } from '../processes.mjs';
import { apiKeyLogin, clientCredentialsLogin, gatewayCheck } from './requests.mjs';

export const CALLERS = 16;
export const ENDPOINT = 'weather';
const SUBSCRIPTION = 'weather';

/**
 * The service on embedded stores, with consumers that have each logged in once. So the service has verified their
 * secrets and cached their tokens already.
 */
export class Stage {
  /** `environment` is added to the environment of the service's process. */
  static async open(bench, environment) {
    const stage = new Stage();
    stage.server = await standalone(bench, bench.newFolder('auth'), environment);
    stage.gatewaySecret = readFileSync(join(stage.server.dataDir, 'gateway.secret'), 'utf8').trim();
    await stage.server.json('PUT', `/v1/subscriptions/${SUBSCRIPTION}`, {
      endpointUri: ENDPOINT,
      serviceName: 'Weather forecasts',
    });
    [stage.keys, stage.oauth] = await Promise.all([stage.consumers('API_KEY'), stage.consumers('OAUTH2')]);
    const logins = [
      ...stage.keys.map(({ credential }) => apiKeyLogin(credential)),
      ...stage.oauth.map(({ credential }) => clientCredentialsLogin(credential)),
    ];
    for (const login of logins) await sendOnce(stage.server.url, login);
    return stage;
  }

  /** Creates clients and assigns each client to the subscription. */
  consumers(authenticationType, count = CALLERS) {
    return Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const { credential } = await this.server.json('POST', '/v1/clients', {
          name: `Importer ${index}`,
          authenticationType,
        });
        await this.server.json('PUT', `/v1/clients/${credential.clientId}/subscriptions/${SUBSCRIPTION}`);
        return { credential };
      }),
    );
  }

  /**
   * Logs the OAUTH2 clients in, and returns their access tokens. Call `tokens` just before the tokens are needed,
   * because access tokens expire after 300 s.
   */
  tokens() {
    return Promise.all(this.oauth.map(({ credential }) => accessToken(this.server.url, credential)));
  }

  async checks() {
    const requests = (await this.tokens()).map((token) => gatewayCheck(this.gatewaySecret, ENDPOINT, token));
    for (const request of requests) await sendOnce(this.server.url, request);
    return requests;
  }
}

/** Logs in by client_credentials, and returns the access token. */
export const accessToken = async (url, credential, path) =>
  JSON.parse(await sendOnce(url, clientCredentialsLogin(credential, path))).access_token;

/** Starts a standalone process (all apps in one) on the core that is reserved for measured servers. */
export async function standalone(bench, dataDir, environment) {
  const server = await MeasuredStandalone.start(bench, dataDir, environment);
  giveOneCore(server.child);
  return server;
}

/**
 * Starts a program of `bench/` as a process on the core that is reserved for measured servers. `program` is relative to
 * `bench/`.
 */
export async function companion(bench, program, options) {
  const server = await Companion.start(program, options);
  bench.atEnd(() => server.stop());
  giveOneCore(server.child);
  return server;
}
