import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Problem } from './problem.js';

const SCHEME_AND_HOST = /^https?:\/\/[^/?#]+/i;

/**
 * Returns the request target as a path with an optional query. A client may also send the whole URL, and every server
 * must accept that (absolute form, RFC 9112 §3.2.2). Any other target is returned unchanged.
 */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const [origin] = SCHEME_AND_HOST.exec(target) ?? [];
  if (origin === undefined) return target;
  const rest = target.slice(origin.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** A host, or an IPv6 address in brackets, with an optional port (RFC 9110 §7.2). May be empty. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/i;

/**
 * Returns the problem of a request whose head Node accepts, although it must be refused with 400 (RFC 9112 §3.2), or is
 * ambiguous because a header is repeated.
 * Returns `undefined` for all other requests. The target must be in `originForm`.
 */
export function headProblem(request: IncomingMessage): Problem | undefined {
  const { url = '', headers, rawHeaders, httpVersion } = request;
  const { host } = headers;
  if (url.includes('#')) return malformed('The request target must not contain a #');
  if (!url.startsWith('/') && url !== '*')
    return malformed('The request target must be a path, or an http or https URL');
  const repeated = repeatedHeader(rawHeaders, SOLE_HEADERS);
  if (repeated) return repeated;
  if (host === undefined) return httpVersion === '1.0' ? undefined : malformed('The header Host is needed');
  return HOST.test(host) ? undefined : malformed('The header Host must be a host and an optional port');
}

/** Headers that Node reads from their first line, while a proxy may read the last one. */
const SOLE_HEADERS = ['Host', 'Authorization'];

/** Returns the 400 `Problem` of a request that has one of these headers more than once. */
function repeatedHeader(rawHeaders: readonly string[], names: readonly string[]): Problem | undefined {
  for (const name of names) {
    const lowerCased = name.toLowerCase();
    let times = 0;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      if (rawHeaders[i]?.length === name.length && rawHeaders[i]?.toLowerCase() === lowerCased) times += 1;
    }
    if (times > 1) {
      const errors = [{ field: name, message: 'must not be given twice' }];
      return new Problem(400, 'HEADER_REPEATED', `The header ${name} must not be given twice`, { errors });
    }
  }
  return undefined;
}

const malformed = (detail: string) => new Problem(400, 'MALFORMED_REQUEST', detail);

/** Whether the request has a body, by RFC 9112 §6.3. */
export const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

const CHARSET = /;\s*charset\s*=\s*"?([^";\s]*)/gi;
const UTF_8 = new Set(['utf-8', 'utf8']);

/**
 * Throws a 415 `Problem` if the body is compressed, or has another charset than UTF-8, and a 400 `Problem` if there are
 * two content types.
 */
export function requirePlainUtf8({ headers, rawHeaders }: IncomingMessage): void {
  const repeated = repeatedHeader(rawHeaders, ['Content-Type']);
  if (repeated) throw repeated;
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new Problem(415, 'UNSUPPORTED_MEDIA_TYPE', 'The body must not be compressed (Content-Encoding)');
  }
  for (const [, charset = ''] of (headers['content-type'] ?? '').matchAll(CHARSET)) {
    if (!UTF_8.has(charset.toLowerCase())) {
      throw new Problem(415, 'UNSUPPORTED_MEDIA_TYPE', 'The body must be UTF-8');
    }
  }
}
