import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Problem } from './problem.js';
import { repeatedHeader } from './request-head.js';

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
