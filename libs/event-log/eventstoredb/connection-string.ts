import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';

export interface ConnectionString {
  readonly url: string;
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
const PARTS = /^esdb(?:\+discover)?:\/\/(?:(.*)@)?[^@?]*?(?:\?(.*))?$/s;
/**
 * User and password. Both must be percent-encoded: the driver cuts a user or a password off at any of the characters
 * that are excluded here.
 */
const USER_INFO = /^([^:@/?#]+):([^:@/?#]+)$/;

/**
 * Parses an `esdb://` or `esdb+discover://` connection string. `kurrentdb`, `kurrent` and `kdb` mean the same as `esdb`.
 * The returned URL begins with `esdb`. Throws `TypeError` if the string is malformed, if an
 * option has no effect, or if the string asks for TLS without a user and password. The string may hold a password, so
 * the error message shows only the name of the bad option. Throws the driver's `Error` for a certificate file that
 * can't be read.
 */
export function parseConnectionString(text: string): ConnectionString {
  const url = text.trim().replace(SCHEME, 'esdb');
  const [, userInfo, query = ''] = PARTS.exec(url) ?? [];
  const [, username, password] = USER_INFO.exec(userInfo ?? '') ?? [];
  if (userInfo !== undefined && (username === undefined || password === undefined)) {
    throw new TypeError(
      'User and password of EventStoreDB’s connection string must be percent-encoded: user:password@',
    );
  }
  const options = query.split('&').flatMap((option) => option.split('=', 1));
  const unknown = options.find((name) => name !== '' && !OPTIONS.has(spelling(name)));
  if (unknown !== undefined) throw new TypeError(`EventStoreDB’s driver has no option ${unknown.slice(0, 40)}`);
  if (/(?:^|&)\s*tls[_-]?verify[_-]?cert=false/i.test(query)) {
    throw new TypeError('EventStoreDB’s driver verifies certificates always: name their authority by tlsCAFile');
  }
  const objection = objectionTo(url);
  if (objection) throw objection;
  if (username !== undefined && password !== undefined) {
    return { url, credentials: { username: decodeURIComponent(username), password: decodeURIComponent(password) } };
  }
  if (!/(^|&)tls=false(&|$)/i.test(query)) {
    throw new TypeError('EventStoreDB needs a user and a password in its connection string, or tls=false');
  }
  return { url, credentials: ANONYMOUS };
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
