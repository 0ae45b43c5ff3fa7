import type { IncomingMessage } from 'node:http';
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
 * Returns the problem of a request whose head Node accepts, although RFC 9112 §3.2 requires that it is refused with 400.
 * Returns `undefined` for all other requests. The target must be in `originForm`.
 */
export function headProblem({ url = '', headers: { host }, httpVersion }: IncomingMessage): Problem | undefined {
  if (url.includes('#')) return malformed('The request target must not contain a #');
  if (!url.startsWith('/') && url !== '*')
    return malformed('The request target must be a path, or an http or https URL');
  if (host === undefined) return httpVersion === '1.0' ? undefined : malformed('The header Host is needed');
  return HOST.test(host) ? undefined : malformed('The header Host must be a host and an optional port');
}

const malformed = (detail: string) => new Problem(400, 'MALFORMED_REQUEST', detail);
