import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { httpRequest, load, sendOnce } from '../load.mjs';
import { Companion, WORKSPACE } from '../processes.mjs';
import { ratioAtLeast, row } from '../report.mjs';
import { alternatingMedians } from '../rounds.mjs';
import { startApp } from './servers.mjs';

const section = 'Durable commands on EventStoreDB';
const CALLERS = 64;
const CLIENTS_PER_CALLER = 4;
const AUDIENCE = 'consumer-clients';

/**
 * Measures renames over HTTP through `apps/management`. Compares the renames with unary appends (one gRPC call per
 * append) by the bare driver to the same server.
 */
export async function commands(bench, { url, name }, mongoUrl) {
  const { rounds, seconds } = bench.isQuick ? { rounds: 1, seconds: 0.2 } : { rounds: 5, seconds: 2 };
  bench.say('commands on EventStoreDB');
  const issuer = await startIssuer(bench);
  const api = await startApp(bench, 'management', {
    EVENTSTOREDB_URL: url,
    MONGODB_URL: `${mongoUrl}/bench_${randomUUID().slice(0, 8)}`,
    MASTER_KEY: randomBytes(32).toString('base64'),
    RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '0',
    ...issuer.environment,
  });
  const portal = await Portal.at(api, issuer.token);
  const clients = await portal.createClients(CALLERS * CLIENTS_PER_CALLER);
  const raw = await Companion.start('./stores/raw-appends.mjs', { url });
  bench.atEnd(() => raw.stop());
  let issued = 0;
  const rename = (caller) => {
    const clientId = clients[caller * CLIENTS_PER_CALLER + (issued++ % CLIENTS_PER_CALLER)];
    return portal.request('PATCH', `/v1/clients/${clientId}`, { body: { name: `Forecast importer ${issued}` } });
  };
  const { ours, appended } = await alternatingMedians(rounds, {
    ours: async () => (await load({ url: api, callers: CALLERS, seconds, next: rename })).perSecond,
    appended: () => raw.ask({ callers: CALLERS, seconds }),
  });
  return [
    row({
      ...{ section, name: `rename, ${CALLERS} callers, ${name}`, unit: 'commands/s', value: ours },
      ...{ against: 'raw unary appends', reference: appended, target: ratioAtLeast(0.5) },
    }),
  ];
}

/**
 * Starts a marketplace's own issuer of management tokens, which serves its public keys over HTTP. Also returns a token
 * of this issuer.
 */
async function startIssuer(bench) {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA');
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'EdDSA', use: 'sig' }] });
  const server = createServer((_, response) => response.setHeader('content-type', 'application/json').end(jwks));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  bench.atEnd(() => server.close());
  const issuer = 'https://issuer.bench.example';
  const token = await new SignJWT({ scope: 'clients:write clients:read', workspace_id: WORKSPACE })
    .setProtectedHeader({ alg: 'EdDSA', kid: 'bench' })
    .setIssuer(issuer)
    .setAudience(AUDIENCE)
    .setSubject('portal-backend')
    .setExpirationTime('1h')
    .sign(privateKey);
  const environment = {
    MANAGEMENT_ISSUER: issuer,
    MANAGEMENT_JWKS_URL: `http://127.0.0.1:${server.address().port}/jwks.json`,
    MANAGEMENT_AUDIENCE: AUDIENCE,
  };
  return { environment, token };
}

class Portal {
  constructor(url, token) {
    this.url = url;
    this.token = token;
  }

  /** Resolves when the service accepts commands, which shows that the service has reached the event log. */
  static async at(url, token) {
    const portal = new Portal(url, token);
    for (const giveUpAt = Date.now() + 20_000; ;) {
      try {
        await portal.createClients(1);
        return portal;
      } catch (error) {
        if (Date.now() > giveUpAt) throw error;
      }
    }
  }

  request(method, path, { body } = {}) {
    return httpRequest(method, path, { headers: { authorization: `Bearer ${this.token}` }, body });
  }

  async createClients(count) {
    const ids = [];
    const body = { name: 'Forecast importer', authenticationType: 'OAUTH2' };
    while (ids.length < count) {
      const batch = Array.from({ length: Math.min(16, count - ids.length) }, () =>
        sendOnce(this.url, this.request('POST', '/v1/clients', { body })),
      );
      for (const answer of await Promise.all(batch)) ids.push(JSON.parse(answer).client.clientId);
    }
    return ids;
  }
}
