import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';

/** The process can't start because of one environment variable. The message never contains a secret's value. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';

  constructor(
    readonly variable: string,
    reason: string,
  ) {
    super(`${variable} ${reason}`);
  }
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * The highest permitted age of a fence (a write that proves that the connection reaches the current leader), in ms.
 * EventStoreDB may replace a paused leader after 5 s, so an older fence proves nothing.
 */
const MAX_FENCE_AGE_MS = 4_000;

/** Maximum number of characters. A token contains `PUBLIC_URL` twice, in `iss` and `aud`, and may have at most 2 KB. */
const MAX_PUBLIC_URL_LENGTH = 256;

/** Far more than a key or a secret needs. */
const MAX_SECRET_FILE_BYTES = 65_536;

/** No load balancer takes longer to notice that a process is not ready. */
const MAX_SHUTDOWN_GRACE_MS = 300_000;

/** The schemes of EventStoreDB and of KurrentDB mean the same. */
const EVENTSTOREDB_SCHEMES = ['esdb', 'kurrentdb', 'kurrent', 'kdb'].flatMap((name) => [
  `${name}:`,
  `${name}+discover:`,
]);

const TOKEN_ALGORITHMS = ['EdDSA', 'RS256'] as const;

/** The marketplace's own issuer of management tokens, which replaces the built-in issuer. */
export interface ManagementIssuer {
  readonly issuer: string;
  readonly jwksUrl: URL;
  readonly audience: string;
}

/** The places where the URI of the called endpoint can be. The gateway check reads only the configured place. */
const GATEWAY_URI_SOURCES = ['header', 'x-original-uri', 'x-forwarded-uri', 'path'] as const;

/** Which statuses refused tokens get at the gateway check: the marketplace's own, or those of RFC 6750. */
const GATEWAY_REFUSALS = ['marketplace', 'rfc6750'] as const;

/** Whether events are written in their newest version, or in the version that the release before knows. */
const EVENT_VERSIONS = ['current', 'previous'] as const;

/** How gateways talk to the gateway check. */
export interface GatewayConfiguration {
  readonly uriFrom: (typeof GATEWAY_URI_SOURCES)[number];
  readonly refusals: (typeof GATEWAY_REFUSALS)[number];
  /** Lower-cased name of the header that holds the consumer's token. */
  readonly tokenHeader: string;
  /**
   * The value that gateways send as `X-Gateway-Secret`. If absent, a standalone process (all apps in one) uses its own
   * secret file.
   */
  readonly secret?: string;
  /**
   * How far the client directory (the client states in memory) may be behind the log, in ms. If the directory lags
   * more, each check reads the log.
   */
  readonly maxLagMs: number;
}

/** Permitted numbers of calls per minute. 0 switches a limit off. */
export interface RateLimits {
  readonly managementPerSubject: number;
  /**
   * Number of successful authentications of one client. Refused attempts with a current or former secret of the client
   * are counted separately, up to the same number.
   */
  readonly loginPerClient: number;
  /**
   * Number of attempts with made-up credentials from one address. All addresses of an IPv6 /64 count as one address.
   */
  readonly loginPerAddress: number;
}

/** All settings that come from environment variables. */
export interface Configuration {
  /** With 0, the operating system chooses a free port. */
  readonly port: number;
  readonly host: string;
  /** The issuer of tokens, and the beginning of all links. The URL has no slash at its end. */
  readonly publicUrl: string;
  /** The absolute path of the directory for the process's files. */
  readonly dataDir: string;
  /**
   * The URL may contain credentials, so it must never be logged. If absent, the event log is an SQLite file in
   * `dataDir`.
   */
  readonly eventStoreDbUrl?: string;
  /** Stands before the name of each of our streams in EventStoreDB. The log's adapter checks it. */
  readonly eventStoreDbPrefix: string;
  /**
   * The URL may contain credentials, so it must never be logged. If absent, the read store is an SQLite file in
   * `dataDir`.
   */
  readonly mongoDbUrl?: string;
  /**
   * The versions in which events are written. `previous` is meant for an upgrade, while processes of the release before
   * are running.
   */
  readonly eventVersions: (typeof EVENT_VERSIONS)[number];
  /**
   * How old the fence of a strong read (a read that returns every event acknowledged before) may be, in ms. A fence is
   * a write that proves that the connection reaches the current leader. With 0, each strong read waits for its own
   * fence.
   */
  readonly fenceMaxAgeMs: number;
  /** The master key has 32 bytes. If absent, a standalone process (all apps in one) uses its own key file. */
  readonly masterKey?: Buffer;
  /** Former master keys, 32 bytes each. They are used only for old data: to verify secrets and to unwrap keys. */
  readonly previousMasterKeys: readonly Buffer[];
  /** The algorithm of signing keys that are made from now on. */
  readonly tokenAlg: (typeof TOKEN_ALGORITHMS)[number];
  /** If absent, the built-in issuer (bootstrap issuer) issues the management tokens. */
  readonly managementIssuer?: ManagementIssuer;
  /** Whether everybody may read the heads, the tiles and the keys of the tree over the log, without a token. */
  readonly treePublic: boolean;
  readonly rateLimits: RateLimits;
  readonly gateway: GatewayConfiguration;
  readonly logLevel: LogLevel;
  /**
   * Whether `PUBLIC_URL` and `MANAGEMENT_JWKS_URL` may use plain HTTP beyond this machine. Meant for a process behind a
   * proxy that does the TLS.
   */
  readonly allowHttp: boolean;
  /** If set, `/metrics` is served on this port instead of the public port. */
  readonly metricsPort?: number;
  /** Addresses or CIDRs of the proxies whose `X-Forwarded-*` headers are believed. */
  readonly trustedProxies: readonly string[];
  /**
   * How long the process listens after SIGTERM although it is not ready any more, in ms. If absent, it depends on
   * whether the process runs in a terminal.
   */
  readonly shutdownGraceMs?: number;
}

const STORE_SETTINGS = [
  'dataDir',
  'eventStoreDbUrl',
  'eventStoreDbPrefix',
  'mongoDbUrl',
  'fenceMaxAgeMs',
  'eventVersions',
] as const;

/** The settings that opening and using the stores needs. They contain no keys. */
export type StoreConfiguration = Pick<Configuration, (typeof STORE_SETTINGS)[number]>;

/** Returns the settings of the stores, and nothing else of the configuration. */
export const storeConfigurationOf = (configuration: Configuration): StoreConfiguration =>
  Object.fromEntries(
    STORE_SETTINGS.map((setting) => [setting, configuration[setting]]),
  ) as unknown as StoreConfiguration;

/** The Nest injection token of the `Configuration`. */
export const CONFIGURATION = Symbol('Configuration');

export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the environment variables once. Throws `ConfigurationError`, which names the first wrong variable. */
export function configurationFrom(env: Environment): Configuration {
  const port = wholeNumber(env, 'PORT', 65_535) ?? 3000;
  const host = text(env, 'HOST') ?? '127.0.0.1';
  const allowHttp = (oneOf(env, 'ALLOW_HTTP', ['true', 'false']) ?? 'false') === 'true';
  const eventStoreDbUrl = storeUrl(env, 'EVENTSTOREDB_URL', EVENTSTOREDB_SCHEMES);
  const mongoDbUrl = storeUrl(env, 'MONGODB_URL', ['mongodb:', 'mongodb+srv:']);
  const masterKey = masterKeyFrom(env);
  const managementIssuer = managementIssuerFrom(env, allowHttp);
  const metricsPort = metricsPortFrom(env, port);
  const publicUrl = publicUrlFrom(env, host, port, allowHttp);
  const shutdownGraceMs = wholeNumber(env, 'SHUTDOWN_GRACE_MS', MAX_SHUTDOWN_GRACE_MS);
  if (managementIssuer) refuseOwnIssuer(managementIssuer, publicUrl);
  return {
    port,
    host,
    publicUrl,
    dataDir: resolve(text(env, 'DATA_DIR') ?? 'data'),
    ...(eventStoreDbUrl !== undefined && { eventStoreDbUrl }),
    eventStoreDbPrefix: text(env, 'EVENTSTOREDB_PREFIX') ?? '',
    ...(mongoDbUrl !== undefined && { mongoDbUrl }),
    eventVersions: oneOf(env, 'EVENT_VERSIONS', EVENT_VERSIONS) ?? 'current',
    fenceMaxAgeMs: wholeNumber(env, 'FENCE_MAX_AGE_MS', MAX_FENCE_AGE_MS) ?? 2_000,
    ...(masterKey && { masterKey }),
    previousMasterKeys: list(env, 'MASTER_KEY_PREVIOUS').map((key) => masterKeyIn(key, 'MASTER_KEY_PREVIOUS')),
    tokenAlg: oneOf(env, 'TOKEN_ALG', TOKEN_ALGORITHMS) ?? 'EdDSA',
    ...(managementIssuer && { managementIssuer }),
    treePublic: (oneOf(env, 'TREE_PUBLIC', ['true', 'false']) ?? 'false') === 'true',
    rateLimits: {
      managementPerSubject: rateLimit(env, 'RATE_LIMIT_MANAGEMENT_PER_SUBJECT') ?? 60_000,
      loginPerClient: rateLimit(env, 'RATE_LIMIT_LOGIN_PER_CLIENT') ?? 60_000,
      loginPerAddress: rateLimit(env, 'RATE_LIMIT_LOGIN_PER_ADDRESS') ?? 600,
    },
    gateway: gatewayFrom(env),
    logLevel: oneOf(env, 'LOG_LEVEL', LOG_LEVELS) ?? 'info',
    allowHttp,
    ...(metricsPort !== undefined && { metricsPort }),
    trustedProxies: list(env, 'TRUSTED_PROXIES').map(cidr),
    ...(shutdownGraceMs !== undefined && { shutdownGraceMs }),
  };
}

/**
 * Decodes a master key: 32 bytes in base64, the format of `MASTER_KEY`. `variable` names the source of the text, a
 * variable or a file; `file` is the file that the variable names. Throws `ConfigurationError`, which contains both.
 */
export function masterKeyIn(base64: string, variable: string, file?: string): Buffer {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(base64)) {
    throw new ConfigurationError(variable, `must be 32 bytes in base64${inFile(file)}`);
  }
  return Buffer.from(base64, 'base64');
}

/**
 * Checks a gateway secret in the format of `GATEWAY_SECRET_FILE`. `variable` names the source of the text, a variable
 * or a file; `file` is the file that the variable names. Throws `ConfigurationError`, which contains both.
 */
export function gatewaySecretIn(contents: string, variable: string, file?: string): string {
  if (!/^[\x21-\x7e]{32,256}$/.test(contents)) {
    throw new ConfigurationError(variable, `must hold 32 to 256 visible ASCII characters${inFile(file)}`);
  }
  return contents;
}

const inFile = (file: string | undefined): string => (file === undefined ? '' : ` (in ${file})`);

/**
 * The variable's value. Compose files and shells set unused variables to an empty text, so an empty value counts as
 * absent.
 */
const text = (env: Environment, variable: string): string | undefined => {
  const value = env[variable]?.trim();
  return value === '' ? undefined : value;
};

const list = (env: Environment, variable: string): string[] =>
  (text(env, variable) ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

function wholeNumber(env: Environment, variable: string, max: number): number | undefined {
  const value = text(env, variable);
  if (value === undefined) return undefined;
  if (!/^\d{1,16}$/.test(value) || Number(value) > max) {
    throw new ConfigurationError(variable, `must be a whole number from 0 to ${max}`);
  }
  return Number(value);
}

const rateLimit = (env: Environment, variable: string): number | undefined =>
  wholeNumber(env, variable, Number.MAX_SAFE_INTEGER);

function oneOf<T extends string>(env: Environment, variable: string, allowed: readonly T[]): T | undefined {
  const value = text(env, variable);
  if (value === undefined) return undefined;
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new ConfigurationError(variable, `must be one of ${allowed.join(', ')}`);
  return found;
}

/**
 * Checks only how the URL begins. The store's client checks the rest of the URL. Neither error contains the URL,
 * because the URL may contain credentials.
 */
function storeUrl(env: Environment, variable: string, schemes: readonly string[]): string | undefined {
  const url = text(env, variable);
  if (url === undefined) return undefined;
  if (!schemes.some((scheme) => url.startsWith(`${scheme}//`)) || /\s/.test(url)) {
    throw new ConfigurationError(variable, `must be a URL that begins with ${schemes.join('// or ')}//`);
  }
  return url;
}

function masterKeyFrom(env: Environment): Buffer | undefined {
  const key = text(env, 'MASTER_KEY');
  const file = text(env, 'MASTER_KEY_FILE');
  if (key !== undefined && file !== undefined) {
    throw new ConfigurationError('MASTER_KEY', 'and MASTER_KEY_FILE must not both be set');
  }
  if (key !== undefined) return masterKeyIn(key, 'MASTER_KEY');
  return file === undefined ? undefined : masterKeyIn(contentsOf(file, 'MASTER_KEY_FILE'), 'MASTER_KEY_FILE', file);
}

function contentsOf(file: string, variable: string): string {
  try {
    const found = statSync(file);
    // A device such as /dev/zero never ends.
    if (found.isCharacterDevice() || found.size > MAX_SECRET_FILE_BYTES) {
      throw new ConfigurationError(variable, `must name a small file: ${file}`);
    }
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw unreadableFile(variable, error, file) ?? error;
  }
}

/**
 * Returns the error for a file that `variable` names and that can't be read, with the file's path and the reason. `error`
 * is what Node has thrown; if it is not about a file, returns `undefined`. `file` is needed where Node does not tell the
 * path, as for a directory in place of a file.
 */
export function unreadableFile(variable: string, error: unknown, file?: string): ConfigurationError | undefined {
  if (!isFileError(error)) return undefined;
  const { path = 'a file', code } = error;
  return new ConfigurationError(variable, `names a file that can’t be read: ${file ?? path} (${code})`);
}

/**
 * Returns the error for a file of this process that can't be made or read. `error` is what Node has thrown; if it is not
 * about a file, returns `undefined`.
 */
export const unusableFile = (path: string, error: unknown): ConfigurationError | undefined =>
  isFileError(error) ? new ConfigurationError(path, `can’t be made or read (${error.code})`) : undefined;

const isFileError = (error: unknown): error is { readonly code: string; readonly path?: string } =>
  typeof error === 'object' && error !== null && 'code' in error && 'syscall' in error;

function gatewayFrom(env: Environment): GatewayConfiguration {
  const tokenHeader = text(env, 'GATEWAY_TOKEN_HEADER') ?? 'x-apx-authorization';
  // RFC 9110 §5.6.2 also allows underscores. We refuse them, because gateways drop or rename headers with underscores.
  if (!/^[A-Za-z0-9!#$%&'*+.^`|~-]{1,64}$/.test(tokenHeader)) {
    throw new ConfigurationError('GATEWAY_TOKEN_HEADER', "must be a header's name");
  }
  const file = text(env, 'GATEWAY_SECRET_FILE');
  return {
    uriFrom: oneOf(env, 'GATEWAY_URI_FROM', GATEWAY_URI_SOURCES) ?? 'header',
    refusals: oneOf(env, 'GATEWAY_REFUSALS', GATEWAY_REFUSALS) ?? 'marketplace',
    tokenHeader: tokenHeader.toLowerCase(),
    ...(file !== undefined && {
      secret: gatewaySecretIn(contentsOf(file, 'GATEWAY_SECRET_FILE'), 'GATEWAY_SECRET_FILE', file),
    }),
    maxLagMs: wholeNumber(env, 'GATEWAY_MAX_LAG_MS', 60_000) ?? 1000,
  };
}

function managementIssuerFrom(env: Environment, allowHttp: boolean): ManagementIssuer | undefined {
  const issuer = text(env, 'MANAGEMENT_ISSUER');
  const jwksUrl = text(env, 'MANAGEMENT_JWKS_URL');
  const audience = text(env, 'MANAGEMENT_AUDIENCE');
  if (issuer === undefined && jwksUrl === undefined && audience === undefined) return undefined;
  const together = 'must be set: MANAGEMENT_ISSUER, MANAGEMENT_JWKS_URL and MANAGEMENT_AUDIENCE go together';
  if (issuer === undefined) throw new ConfigurationError('MANAGEMENT_ISSUER', together);
  if (jwksUrl === undefined) throw new ConfigurationError('MANAGEMENT_JWKS_URL', together);
  if (audience === undefined) throw new ConfigurationError('MANAGEMENT_AUDIENCE', together);
  const url = httpUrl(jwksUrl, 'MANAGEMENT_JWKS_URL');
  if (url.protocol === 'http:' && !isLoopback(url.hostname) && !allowHttp) {
    throw new ConfigurationError('MANAGEMENT_JWKS_URL', 'must begin with https: (or set ALLOW_HTTP=true)');
  }
  return { issuer, jwksUrl: url, audience };
}

function publicUrlFrom(env: Environment, host: string, port: number, allowHttp: boolean): string {
  const given = text(env, 'PUBLIC_URL');
  const url = httpUrl(
    given ?? `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`,
    given ? 'PUBLIC_URL' : 'HOST',
  );
  if (url.username || url.password || url.search || url.hash) {
    throw new ConfigurationError('PUBLIC_URL', 'must have no user, query or fragment');
  }
  if (url.protocol === 'http:' && !isLoopback(host) && !allowHttp) {
    throw new ConfigurationError(
      'PUBLIC_URL',
      'must begin with https: where HOST is not loopback (or set ALLOW_HTTP=true)',
    );
  }
  const publicUrl = url.href.replace(/\/+$/, '');
  if (publicUrl.length > MAX_PUBLIC_URL_LENGTH) {
    throw new ConfigurationError('PUBLIC_URL', `must have at most ${MAX_PUBLIC_URL_LENGTH} characters`);
  }
  return publicUrl;
}

/** A consumer's token must never be accepted as a management token, so the two kinds need different issuers. */
function refuseOwnIssuer({ issuer }: ManagementIssuer, publicUrl: string): void {
  if (issuer.replace(/\/+$/, '') !== publicUrl) return;
  throw new ConfigurationError('MANAGEMENT_ISSUER', 'must not be PUBLIC_URL, which is the issuer of consumers’ tokens');
}

function metricsPortFrom(env: Environment, port: number): number | undefined {
  const metricsPort = wholeNumber(env, 'METRICS_PORT', 65_535);
  if (metricsPort !== undefined && metricsPort !== 0 && metricsPort === port) {
    throw new ConfigurationError('METRICS_PORT', 'must not be PORT');
  }
  return metricsPort;
}

function httpUrl(value: string, variable: string): URL {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new ConfigurationError(variable, 'must make an http: or https: URL');
  }
  return url;
}

function cidr(value: string): string {
  const [address = '', prefix] = value.split('/', 2);
  const bits = isIP(address) === 4 ? 32 : 128;
  // With a prefix of 0 we would trust every caller, and any caller could pretend to have any address.
  const prefixIsFine = prefix === undefined || (/^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) <= bits);
  if (isIP(address) === 0 || !prefixIsFine || value.split('/').length > 2) {
    throw new ConfigurationError('TRUSTED_PROXIES', 'must be addresses or CIDRs, separated by commas');
  }
  return value;
}

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/.test(host);
