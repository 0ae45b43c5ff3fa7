import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';

export interface ConnectionString {
  readonly url: string;
  /** What every call carries: it is by credentials of its own that an append takes the driver's unary path. */
  readonly credentials: Credentials;
}

/** For servers without security, which ignore them. */
const NOBODY: Credentials = { username: 'nobody', password: 'nobody' };

/**
 * Reads an `esdb://` or `esdb+discover://` connection string. Throws `TypeError`, which does not show the string, since
 * that may hold a password: when it is none, and when it asks for TLS without a user and password. Throws the driver's
 * `Error` for a certificate that can't be read.
 */
export function parseConnectionString(text: string): ConnectionString {
  const url = text.trim();
  const objection = objectionTo(url);
  if (objection) throw objection;
  const [, username, password, query = ''] = /^[^:]+:\/\/(?:([^:@]+):([^@]+)@)?[^?]*\??(.*)$/.exec(url) ?? [];
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
