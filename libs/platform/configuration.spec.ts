import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ConfigurationError, configurationFrom, type Environment, storeConfigurationOf } from '#platform';

const KEY = Buffer.alloc(32, 7).toString('base64');
const GATEWAY_SECRET = 'g'.repeat(43);
const issuer = {
  MANAGEMENT_ISSUER: 'https://id.market.example',
  MANAGEMENT_JWKS_URL: 'https://id.market.example/jwks',
  MANAGEMENT_AUDIENCE: 'consumer-clients',
};

/** The error that these environment variables cause. */
const refusal = (env: Environment): ConfigurationError => {
  try {
    configurationFrom(env);
  } catch (error) {
    if (error instanceof ConfigurationError) return error;
    throw error;
  }
  throw new Error('The configuration was accepted');
};

const file = (contents: string) => {
  const path = join(mkdtempSync(join(tmpdir(), 'configuration-')), 'master.key');
  writeFileSync(path, contents);
  return path;
};

describe('the configuration', () => {
  it('needs nothing', () => {
    expect(configurationFrom({})).toEqual({
      port: 3000,
      host: '127.0.0.1',
      publicUrl: 'http://127.0.0.1:3000',
      dataDir: resolve('data'),
      eventStoreDbPrefix: '',
      previousMasterKeys: [],
      eventVersions: 'current',
      fenceMaxAgeMs: 2_000,
      tokenAlg: 'EdDSA',
      treePublic: false,
      rateLimits: { managementPerSubject: 60_000, loginPerClient: 60_000, loginPerAddress: 600 },
      gateway: { uriFrom: 'header', refusals: 'marketplace', tokenHeader: 'x-apx-authorization', maxLagMs: 1000 },
      logLevel: 'info',
      allowHttp: false,
      trustedProxies: [],
    });
  });

  it('takes everything', () => {
    const given = configurationFrom({
      ...issuer,
      PORT: '8443',
      HOST: '0.0.0.0',
      PUBLIC_URL: 'https://clients.market.example/',
      DATA_DIR: '/srv/clients',
      EVENTSTOREDB_URL: 'esdb+discover://admin:changeit@log.market.example:2113',
      EVENTSTOREDB_PREFIX: 'staging-',
      MONGODB_URL: 'mongodb://one.market.example,two.market.example/clients?replicaSet=rs0',
      EVENT_VERSIONS: 'previous',
      FENCE_MAX_AGE_MS: '0',
      MASTER_KEY: KEY,
      MASTER_KEY_PREVIOUS: `${KEY}, ${KEY}`,
      TOKEN_ALG: 'RS256',
      RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '0',
      RATE_LIMIT_LOGIN_PER_CLIENT: '0',
      RATE_LIMIT_LOGIN_PER_ADDRESS: '20',
      GATEWAY_URI_FROM: 'x-forwarded-uri',
      GATEWAY_REFUSALS: 'rfc6750',
      GATEWAY_TOKEN_HEADER: 'X-Marketplace-Token',
      GATEWAY_SECRET_FILE: file(`${GATEWAY_SECRET}\n`),
      GATEWAY_MAX_LAG_MS: '0',
      TRUSTED_PROXIES: '10.0.0.0/8, ::1',
      METRICS_PORT: '9090',
      SHUTDOWN_GRACE_MS: '0',
      LOG_LEVEL: 'warn',
    });
    expect(given).toMatchObject({
      publicUrl: 'https://clients.market.example',
      dataDir: '/srv/clients',
      eventStoreDbUrl: 'esdb+discover://admin:changeit@log.market.example:2113',
      eventStoreDbPrefix: 'staging-',
      mongoDbUrl: 'mongodb://one.market.example,two.market.example/clients?replicaSet=rs0',
      eventVersions: 'previous',
      fenceMaxAgeMs: 0,
      shutdownGraceMs: 0,
      masterKey: Buffer.alloc(32, 7),
      previousMasterKeys: [Buffer.alloc(32, 7), Buffer.alloc(32, 7)],
      tokenAlg: 'RS256',
      managementIssuer: { issuer: 'https://id.market.example', audience: 'consumer-clients' },
      rateLimits: { managementPerSubject: 0, loginPerClient: 0, loginPerAddress: 20 },
      gateway: {
        uriFrom: 'x-forwarded-uri',
        refusals: 'rfc6750',
        tokenHeader: 'x-marketplace-token',
        secret: GATEWAY_SECRET,
        maxLagMs: 0,
      },
      trustedProxies: ['10.0.0.0/8', '::1'],
      metricsPort: 9090,
    });
  });

  it('reads the master key from a file, too', () => {
    expect(configurationFrom({ MASTER_KEY_FILE: file(`${KEY}\n`) }).masterKey).toEqual(Buffer.alloc(32, 7));
  });

  it.each([
    ['PORT', { PORT: '70000' }],
    ['PORT', { PORT: '3000 or so' }],
    ['HOST', { HOST: 'not a host' }],
    ['PUBLIC_URL', { PUBLIC_URL: 'clients.market.example' }],
    ['PUBLIC_URL', { PUBLIC_URL: 'https://clients.market.example/?a=b' }],
    ['PUBLIC_URL', { PUBLIC_URL: `https://clients.market.example/${'a'.repeat(256)}` }],
    ['PUBLIC_URL', { HOST: '0.0.0.0' }],
    ['PUBLIC_URL', { HOST: '10.1.2.3', PUBLIC_URL: 'http://clients.market.example' }],
    ['ALLOW_HTTP', { ALLOW_HTTP: 'yes' }],
    ['MASTER_KEY', { MASTER_KEY: 'c2hvcnQ=' }],
    ['MASTER_KEY', { MASTER_KEY: KEY, MASTER_KEY_FILE: '/dev/null' }],
    ['MASTER_KEY_FILE', { MASTER_KEY_FILE: '/nowhere/master.key' }],
    ['MASTER_KEY_FILE', { MASTER_KEY_FILE: file('empty') }],
    ['MASTER_KEY_FILE', { MASTER_KEY_FILE: '/dev/zero' }],
    ['GATEWAY_SECRET_FILE', { GATEWAY_SECRET_FILE: '/dev/zero' }],
    ['GATEWAY_SECRET_FILE', { GATEWAY_SECRET_FILE: file('g'.repeat(70_000)) }],
    ['MASTER_KEY_PREVIOUS', { MASTER_KEY_PREVIOUS: `${KEY},short` }],
    ['TOKEN_ALG', { TOKEN_ALG: 'HS256' }],
    ['MANAGEMENT_ISSUER', { ...issuer, MANAGEMENT_ISSUER: '' }],
    ['MANAGEMENT_ISSUER', { ...issuer, PUBLIC_URL: 'https://id.market.example/' }],
    [
      'MANAGEMENT_ISSUER',
      { ...issuer, MANAGEMENT_ISSUER: 'https://id.market.example/', PUBLIC_URL: 'https://id.market.example' },
    ],
    ['MANAGEMENT_ISSUER', { ...issuer, MANAGEMENT_ISSUER: 'http://127.0.0.1:3000' }],
    ['MANAGEMENT_JWKS_URL', { ...issuer, MANAGEMENT_JWKS_URL: '' }],
    ['MANAGEMENT_JWKS_URL', { ...issuer, MANAGEMENT_JWKS_URL: 'http://id.market.example/jwks' }],
    ['MANAGEMENT_AUDIENCE', { ...issuer, MANAGEMENT_AUDIENCE: '' }],
    ['RATE_LIMIT_MANAGEMENT_PER_SUBJECT', { RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '-1' }],
    ['RATE_LIMIT_LOGIN_PER_CLIENT', { RATE_LIMIT_LOGIN_PER_CLIENT: '1e3' }],
    ['RATE_LIMIT_LOGIN_PER_ADDRESS', { RATE_LIMIT_LOGIN_PER_ADDRESS: 'none' }],
    ['GATEWAY_URI_FROM', { GATEWAY_URI_FROM: 'X-Endpoint-Uri' }],
    ['GATEWAY_REFUSALS', { GATEWAY_REFUSALS: 'RFC6750' }],
    ['GATEWAY_TOKEN_HEADER', { GATEWAY_TOKEN_HEADER: 'x_apx_authorization' }],
    ['GATEWAY_TOKEN_HEADER', { GATEWAY_TOKEN_HEADER: 'a: b' }],
    ['GATEWAY_SECRET_FILE', { GATEWAY_SECRET_FILE: '/nowhere/gateway.secret' }],
    ['GATEWAY_SECRET_FILE', { GATEWAY_SECRET_FILE: file('too short') }],
    ['GATEWAY_SECRET_FILE', { GATEWAY_SECRET_FILE: file(`${GATEWAY_SECRET}\n${GATEWAY_SECRET}`) }],
    ['GATEWAY_MAX_LAG_MS', { GATEWAY_MAX_LAG_MS: 'none' }],
    ['SHUTDOWN_GRACE_MS', { SHUTDOWN_GRACE_MS: '2s' }],
    ['SHUTDOWN_GRACE_MS', { SHUTDOWN_GRACE_MS: '300001' }],
    ['TRUSTED_PROXIES', { TRUSTED_PROXIES: '10.0.0.0/33' }],
    ['TRUSTED_PROXIES', { TRUSTED_PROXIES: '0.0.0.0/0' }],
    ['TRUSTED_PROXIES', { TRUSTED_PROXIES: '::/0' }],
    ['TRUSTED_PROXIES', { TRUSTED_PROXIES: 'proxy.internal' }],
    ['METRICS_PORT', { METRICS_PORT: '3000' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['EVENTSTOREDB_URL', { EVENTSTOREDB_URL: 'localhost:2113' }],
    ['EVENTSTOREDB_URL', { EVENTSTOREDB_URL: 'https://localhost:2113' }],
    ['EVENTSTOREDB_URL', { EVENTSTOREDB_URL: 'esdb://localhost:2113 ' + 'esdb://other:2113' }],
    ['MONGODB_URL', { MONGODB_URL: 'localhost' }],
    ['EVENT_VERSIONS', { EVENT_VERSIONS: '1' }],
    ['FENCE_MAX_AGE_MS', { FENCE_MAX_AGE_MS: '5000' }],
  ])('stops the start when %s is wrong: %j', (variable, env: Environment) => {
    const error = refusal(env);
    expect(error.variable).toBe(variable);
    expect(error.message).toContain(variable);
  });

  it('never shows a secret', () => {
    const secret = KEY.replace('=', '');
    for (const variable of ['MASTER_KEY', 'MASTER_KEY_PREVIOUS']) {
      expect(JSON.stringify([refusal({ [variable]: secret }).message, refusal({ [variable]: secret })])).not.toContain(
        secret,
      );
    }
    expect(refusal({ MASTER_KEY_FILE: file(secret) }).message).not.toContain(secret);
    expect(refusal({ GATEWAY_SECRET_FILE: file(`a ${secret}`) }).message).not.toContain(secret);
    for (const variable of ['EVENTSTOREDB_URL', 'MONGODB_URL']) {
      expect(JSON.stringify(refusal({ [variable]: `http://admin:${secret}@log:2113` }))).not.toContain(secret);
    }
  });

  it.each(['esdb', 'kurrentdb', 'kurrent', 'kdb'])(
    'takes EventStoreDB’s connection string with the scheme %s',
    (scheme) => {
      for (const url of [`${scheme}://log:2113?tls=false`, `${scheme}+discover://log:2113?tls=false`])
        expect(configurationFrom({ EVENTSTOREDB_URL: url }).eventStoreDbUrl).toBe(url);
    },
  );

  it('allows plain HTTP beyond this machine only when told so', () => {
    expect(configurationFrom({ HOST: '0.0.0.0', ALLOW_HTTP: 'true' }).publicUrl).toBe('http://0.0.0.0:3000');
    expect(configurationFrom({ HOST: '::1' }).publicUrl).toBe('http://[::1]:3000');
  });

  it('has settings of the stores that contain neither keys nor secrets', () => {
    const env = { EVENTSTOREDB_URL: 'esdb://log:2113', MONGODB_URL: 'mongodb://models', DATA_DIR: '/data' };
    const secrets = {
      ...{ MASTER_KEY: KEY, MASTER_KEY_PREVIOUS: Buffer.alloc(32, 8).toString('base64') },
      GATEWAY_SECRET_FILE: file(GATEWAY_SECRET),
    };
    expect(storeConfigurationOf(configurationFrom({ ...env, ...secrets }))).toEqual({
      ...{ eventStoreDbUrl: env.EVENTSTOREDB_URL, mongoDbUrl: env.MONGODB_URL, dataDir: '/data' },
      ...{ eventStoreDbPrefix: '', fenceMaxAgeMs: 2_000, eventVersions: 'current' },
    });
  });

  it('is what .env.example lists, no more and no less', () => {
    const read = new Set<string>();
    const env = new Proxy<Environment>({}, { get: (_target, name) => void read.add(String(name)) });
    configurationFrom(env);
    const lines = readFileSync('.env.example', 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    const assignments = lines.filter((line) => !line.startsWith('#'));
    expect(assignments.map((line) => line.slice(0, line.indexOf('='))).sort()).toEqual([...read].sort());
    expect(assignments.every((line) => lines[lines.indexOf(line) - 1]?.startsWith('# '))).toBe(true);
    const example: Environment = Object.fromEntries(
      assignments.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
    );
    expect(configurationFrom(example)).toEqual(configurationFrom({}));
  });
});
