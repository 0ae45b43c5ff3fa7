import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';

export interface ConnectionString {
  readonly url: string;
  /** What every call carries: it is by credentials of its own that an append takes the driver's unary path. */
  readonly credentials: Credentials;
}

/** For servers without security, which ignore them. */
const NOBODY: Credentials = { username: 'nobody', password: 'nobody' };

/** What the driver knows, however it is spelt (`tls_ca_file`). Of another it prints the string, password and all. */
const OPTIONS = new Set(
  [
    ...['connectionName', 'defaultDeadline', 'discoveryInterval', 'gossipTimeout', 'keepAliveInterval'],
    ...['keepAliveTimeout', 'maxDiscoverAttempts', 'nodePreference', 'throwOnAppendFailure', 'tls', 'tlsCAFile'],
    ...['tlsVerifyCert', 'userCertFile', 'userKeyFile'],
  ].map((name) => name.toLowerCase()),
);
const spelling = (name: string): string => name.trim().toLowerCase().replaceAll(/[_-]/g, '');

const PARTS = /^esdb(?:\+discover)?:\/\/(?:(.*)@)?[^@?]*?(?:\?(.*))?$/s;
/** User and password, each percent-encoded: the driver would end them at any of what they must not hold. */
const USER_INFO = /^([^:@/?#]+):([^:@/?#]+)$/;

/**
 * Reads an `esdb://` or `esdb+discover://` connection string. Throws `TypeError`, which shows nothing of it but an
 * option's name, since it may hold a password: when it is none, when an option has no effect, and when it asks for TLS
 * without a user and password. Throws the driver's `Error` for a certificate that can't be read.
 */
export function parseConnectionString(text: string): ConnectionString {
  const url = text.trim();
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
  return { url, credentials: NOBODY };
}

/** What the driver has against it. */
function objectionTo(url: string): Error | undefined {
  try {
    EventStoreDBClient.connectionString(url);
    return undefined;
  } catch (error) {
    const isParseError = !(error instanceof Error) || 'connectionString' in error;
    return isParseError ? new TypeError('Not a connection string of EventStoreDB (esdb://…)') : error;
  }
}

/** The same with other options; they come last, and so win over those that it has. */
export const withOptions = (url: string, options: Readonly<Record<string, string | number | boolean>>): string =>
  Object.entries(options).reduce(
    (string, [name, value]) => `${string}${string.includes('?') ? '&' : '?'}${name}=${value}`,
    url,
  );
