import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { newDatabase } from '../../test/servers/mongodb/launch.js';
import { httpRequest, sendOnce } from '../load.mjs';
import { WORKSPACE } from '../processes.mjs';
import { startApp } from './servers.mjs';

const AUDIENCE = 'consumer-clients';

/** The programs of a production site, as far as they are measured. They share a log, a master key and an issuer. */
export class Site {
  /** `log` is what `eventStoreDb` returns. */
  static async open(bench, log, mongoUrl) {
    const site = new Site();
    const { environment: issuer, token } = await startIssuer(bench);
    const gatewaySecretFile = join(bench.newFolder('site'), 'gateway.secret');
    writeFileSync(gatewaySecretFile, randomBytes(32).toString('base64url'), { mode: 0o600 });
    const database = newDatabase(mongoUrl, 'bench');
    bench.atEnd(() => database.drop());
    site.token = token;
    site.environment = {
      ...log.environment,
      ...issuer,
      MONGODB_URL: database.url,
      MASTER_KEY: log.masterKey,
      GATEWAY_SECRET_FILE: gatewaySecretFile,
      RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '0',
      RATE_LIMIT_LOGIN_PER_CLIENT: '0',
      RATE_LIMIT_LOGIN_PER_ADDRESS: '0',
    };
    site.management = await startApp(bench, 'management', site.environment);
    await untilDone(() => site.createClients(1));
    return site;
  }

  /** Starts `apps/auth` on the site's log. Sets `auth` to its URL. */
  async startAuth(bench) {
    this.auth = await startApp(bench, 'auth', this.environment);
  }

  /** Returns the bytes of a request to management. */
  request(method, path, { headers, body } = {}) {
    return httpRequest(method, path, { headers: { authorization: `Bearer ${this.token}`, ...headers }, body });
  }

  async json(method, path, body) {
    return JSON.parse(await sendOnce(this.management, this.request(method, path, { body })));
  }

  /** Creates clients. Returns their credentials, with secrets. */
  async createClients(count, authenticationType = 'OAUTH2') {
    const credentials = [];
    const body = { name: 'Forecast importer', authenticationType };
    while (credentials.length < count) {
      const batch = Array.from({ length: Math.min(16, count - credentials.length) }, () =>
        this.json('POST', '/v1/clients', body),
      );
      for (const { credential } of await Promise.all(batch)) credentials.push(credential);
    }
    return credentials;
  }
}

/** Calls a program that has been started until it has reached the event log. */
export async function untilDone(call) {
  for (const giveUpAt = Date.now() + 120_000; ;) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() > giveUpAt) throw error;
      await delay(20);
    }
  }
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
  const token = await new SignJWT({
    scope: 'clients:write clients:read subscriptions:write',
    workspace_id: WORKSPACE,
  })
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
