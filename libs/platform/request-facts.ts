import { networkOf, withoutPort } from './network.js';

/**
 * What the handlers found out about a request, for its log line. Callers never see it. It MUST NOT contain secrets, nor
 * text of a caller whose form was not checked.
 */
export interface RequestFacts {
  /** The caller's workspace. */
  workspaceId?: string | undefined;
  /** The subject of the caller's management token. */
  subject?: string | undefined;
  /** The client that has authenticated, or whose token was verified. */
  clientId?: string | undefined;
  /** The client id of a request that did not authenticate as this client. */
  claimedClientId?: string | undefined;
  subscriptionId?: string | undefined;
  /** The URI of the endpoint at which a client logs in, or which a call is for. */
  endpoint?: string | undefined;
  /** The `code` of the answer's problem details. */
  code?: string | undefined;
  /** The `error` of an OAuth answer (RFC 6749 §5.2). */
  error?: string | undefined;
  /** Why an OAuth request was refused, more exactly than `error`, which hides the reason from the caller. */
  reason?: string | undefined;
  /** The `X-Auth-Code` of a gateway check. */
  authCode?: string | undefined;
  /** Where a caller is that did not authenticate, or has spent a limit: an IPv4 address, or the /64 of an IPv6 address. */
  address?: string | undefined;
}

/**
 * The address for the log line of a 401 or 429. Other answers have no address, since it may be personal data. Text that is
 * no address, which may come from `X-Forwarded-For`, becomes `unknown`.
 */
export const addressIfRefused = (status: number, address: string): Pick<RequestFacts, 'address'> =>
  status === 401 || status === 429 ? { address: networkOf(withoutPort(address)) } : {};

declare module 'fastify' {
  interface FastifyRequest {
    facts?: RequestFacts;
  }
}

/** Maximum number of characters of a text of the caller in a log line. */
const MAX_LENGTH = 200;

const UNPRINTABLE = /[^\x21-\x7e]/g;

/** Secrets, API keys, administrator's tokens (docs/operations.md, "Secret scanners"), and the start of a JWT. */
const SECRET = /cc[sa]_|Y2Nf|eyJ/;

/** No id of ours is longer. A longer segment may be a token. */
const LONGEST_ID = 64;

/**
 * The path of a request target for a log line, without query and fragment. Segments that may hold a secret are left
 * out, characters other than visible ASCII are percent-encoded, and a long path is cut.
 */
export function loggedPath(target: string): string {
  const [path = ''] = target.split(/[?#]/, 1);
  const segments = path
    .split('/')
    .map((segment) => (segment.length > LONGEST_ID || SECRET.test(decoded(segment)) ? '[redacted]' : segment));
  return cut(segments.join('/').replace(UNPRINTABLE, percentEncoded));
}

/** A text of the caller for a log line. Invisible characters are percent-encoded, and a long text is cut. */
export const loggedText = (text: string): string => cut(text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, percentEncoded));

const cut = (text: string): string => (text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text);

const percentEncoded = (character: string): string =>
  Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');

/** Decodes the ASCII characters, twice, since a proxy may have encoded the path again. Accepts malformed encodings. */
const decoded = (segment: string): string => asciiDecoded(asciiDecoded(segment));

const asciiDecoded = (text: string): string =>
  text.replace(/%([0-7][0-9a-f])/gi, (_encoded, hex: string) => String.fromCharCode(parseInt(hex, 16)));

/** W3C Trace Context §3.2: version, trace id, parent id and flags. Later versions may append fields. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** The trace id of the header `traceparent`. `undefined` if the header is invalid or was sent more than once. */
export function traceIdOf(traceparent: string | readonly string[]): string | undefined {
  const [, version, traceId, more] = TRACEPARENT.exec(String(traceparent)) ?? [];
  return version === '00' && more !== undefined ? undefined : traceId;
}
