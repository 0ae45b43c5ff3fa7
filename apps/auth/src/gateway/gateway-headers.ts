import type { GatewaySettings } from './gateway-settings.js';

/** Headers by their lower-cased names; each was sent once. */
export type GatewayHeaders = ReadonlyMap<string, string>;

export const SECRET_HEADER = 'x-gateway-secret';
export const ENDPOINT_HEADER = 'x-endpoint-uri';

/** The only headers that the check looks at. */
export const headersLookedAt = ({ uriFrom, tokenHeader }: GatewaySettings): ReadonlySet<string> =>
  new Set([
    SECRET_HEADER,
    ...(uriFrom === 'path' ? [] : [uriFrom === 'header' ? ENDPOINT_HEADER : uriFrom]),
    tokenHeader,
    'authorization',
  ]);

/** `undefined` where one of them was repeated: Node would keep the first, or join them, in silence. */
export function soleHeaders(rawHeaders: readonly string[], lookedAt: ReadonlySet<string>): GatewayHeaders | undefined {
  const headers = new Map<string, string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? '';
    if (!lookedAt.has(name)) continue;
    if (headers.has(name)) return undefined;
    headers.set(name, rawHeaders[i + 1] ?? '');
  }
  return headers;
}
