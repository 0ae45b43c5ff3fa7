import { X509Certificate } from 'node:crypto';
import { resolve } from 'node:path';
import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import { readNamedFile, type ServerAddress, type TlsSettings } from '#event-log';

export interface ConnectionString {
  readonly url: string;
  /** The servers that the string names. With discovery, the one name behind which the servers are found. */
  readonly servers: readonly ServerAddress[];
  /** The settings of TLS; `undefined` for connections without TLS. */
  readonly tls: TlsSettings | undefined;
  /**
   * These credentials are sent with every call, because the driver uses its unary append only for calls that name
   * credentials.
   */
  readonly credentials: Credentials;
}

/** Credentials for servers without security. Such servers ignore credentials. */
const ANONYMOUS: Credentials = { username: 'nobody', password: 'nobody' };

/**
 * All options of the driver, in lower case and without `_` and `-`. We reject any other option before the driver sees
 * the connection string: the driver's error message would contain the whole string, with its password.
 */
const OPTIONS = new Set(
  [
    ...['connectionName', 'defaultDeadline', 'discoveryInterval', 'gossipTimeout', 'keepAliveInterval'],
    ...['keepAliveTimeout', 'maxDiscoverAttempts', 'nodePreference', 'throwOnAppendFailure', 'tls', 'tlsCAFile'],
    ...['tlsVerifyCert', 'userCertFile', 'userKeyFile'],
  ].map((name) => name.toLowerCase()),
);
const spelling = (name: string): string => name.trim().toLowerCase().replaceAll(/[_-]/g, '');

/** The scheme of EventStoreDB, and the schemes of KurrentDB for the same servers. The driver knows `esdb` only. */
const SCHEME = /^(?:esdb|kurrentdb|kurrent|kdb)(?=(?:\+discover)?:\/\/)/;
const PARTS = /^esdb(?:\+discover)?:\/\/(?:(.*)@)?([^@?]*?)(?:\?(.*))?$/s;
const DEFAULT_PORT = 2113;
/**
 * User and password. Both must be percent-encoded: the driver cuts a user or a password off at any of the characters
 * that are excluded here.
 */
const USER_INFO = /^([^:@/?#]+):([^:@/?#]+)$/;

/**
 * Parses an `esdb://` or `esdb+discover://` connection string. `kurrentdb`, `kurrent` and `kdb` mean the same as `esdb`.
 * The returned URL begins with `esdb`. Throws `TypeError` if the string is malformed, if an
 * option has no effect, or if the string asks for TLS without a user and password. The string may hold a password, so
 * the error message shows only the name of the bad option, or the path of a file that holds no certificate. Throws
 * Node's error, with its `path`, if a file can't be read.
 */
export function parseConnectionString(text: string): ConnectionString {
  const url = text.trim().replace(SCHEME, 'esdb');
  const [, userInfo, hosts = '', query = ''] = PARTS.exec(url) ?? [];
  const [, username, password] = USER_INFO.exec(userInfo ?? '') ?? [];
  if (userInfo !== undefined && (username === undefined || password === undefined)) {
    throw new TypeError(
      'User and password of EventStoreDB’s connection string must be percent-encoded: user:password@',
    );
  }
  const names = query.split('&').flatMap((option) => option.split('=', 1));
  const unknown = names.find((name) => name !== '' && !OPTIONS.has(spelling(name)));
  if (unknown !== undefined) throw new TypeError(`EventStoreDB’s driver has no option ${unknown.slice(0, 40)}`);
  if (/(?:^|&)\s*tls[_-]?verify[_-]?cert=false/i.test(query)) {
    throw new TypeError('EventStoreDB’s driver verifies certificates always: name their authority by tlsCAFile');
  }
  const options = optionsIn(query);
  const isTls = options.get('tls')?.toLowerCase() !== 'false';
  const tls = isTls ? tlsSettings(options) : undefined;
  const objection = objectionTo(url);
  if (objection) throw objection;
  const parsed = { url, servers: serversIn(hosts), tls };
  if (username !== undefined && password !== undefined) {
    const credentials = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
    return { ...parsed, credentials };
  }
  if (isTls) throw new TypeError('EventStoreDB needs a user and a password in its connection string, or tls=false');
  return { ...parsed, credentials: ANONYMOUS };
}

/** Returns the options by the spelling of `OPTIONS`. The driver does not decode their values. */
const optionsIn = (query: string): ReadonlyMap<string, string> =>
  new Map(
    query.split('&').map((option) => {
      const [name = '', ...value] = option.split('=');
      return [spelling(name), value.join('=').trim()];
    }),
  );

const serversIn = (hosts: string): ServerAddress[] =>
  hosts
    .replace(/\/+$/, '')
    .split(',')
    .map((each) => {
      const [host = '', port = DEFAULT_PORT] = each.trim().split(':');
      return { host, port: Number(port) };
    });

/**
 * Reads the files that the options name. The driver would read them, too, but its errors don't name the file. Throws
 * Node's error for a file that can't be read, and `TypeError` for a file without a certificate.
 */
function tlsSettings(options: ReadonlyMap<string, string>): TlsSettings {
  const read = (option: string) => {
    const file = options.get(option.toLowerCase());
    return file === undefined ? undefined : { file: resolve(file), contents: readNamedFile(resolve(file)) };
  };
  const [ca, cert, key] = [read('tlsCAFile'), read('userCertFile'), read('userKeyFile')];
  for (const each of [ca, cert]) if (each) requireCertificate(each.file, each.contents);
  return {
    ALPNProtocols: ['h2'],
    ...(ca && { ca: ca.contents }),
    ...(cert && { cert: cert.contents }),
    ...(key && { key: key.contents }),
  };
}

function requireCertificate(file: string, contents: Buffer): void {
  try {
    new X509Certificate(contents);
  } catch {
    throw new TypeError(`${file} holds no certificate in PEM form`);
  }
}

/** Returns the error for a connection string that the driver rejects; `undefined` if the driver accepts the string. */
function objectionTo(url: string): Error | undefined {
  try {
    EventStoreDBClient.connectionString(url);
    return undefined;
  } catch (error) {
    const isParseError = !(error instanceof Error) || 'connectionString' in error;
    return isParseError ? new TypeError('Not a connection string of EventStoreDB (esdb://… or kurrentdb://…)') : error;
  }
}

/** Adds options to the connection string. An added option overrides an option of the same name in the string. */
export const withOptions = (url: string, options: Readonly<Record<string, string | number | boolean>>): string =>
  Object.entries(options).reduce(
    (string, [name, value]) => `${string}${string.includes('?') ? '&' : '?'}${name}=${value}`,
    url,
  );
