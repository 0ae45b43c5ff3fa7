import { timingSafeEqual } from 'node:crypto';
import { type EndpointUri, isEndpointUri } from '#domain';
import type { Configuration } from '#platform';
import { endpointOfPath } from './endpoint-path.js';

/**
 * How gateways talk to the gateway check. Here the secret is always set, while the configuration may lack the secret.
 */
export type GatewaySettings = Required<Configuration['gateway']>;

/**
 * The path of the gateway check. With `GATEWAY_URI_FROM=path`, the gateway appends the consumer's request target to
 * this path.
 */
export const CHECK_PATH = '/gateway/check';

/** Headers by lower-cased name. The request contained each of these headers exactly once. */
export type GatewayHeaders = ReadonlyMap<string, string>;

export const SECRET_HEADER = 'x-gateway-secret';
const ENDPOINT_HEADER = 'x-endpoint-uri';

/** The lower-cased names of all headers that the check reads. */
export const headersLookedAt = ({ uriFrom, tokenHeader }: GatewaySettings): ReadonlySet<string> =>
  new Set([
    SECRET_HEADER,
    ...(uriFrom === 'path' ? [] : [uriFrom === 'header' ? ENDPOINT_HEADER : uriFrom]),
    tokenHeader,
    'authorization',
  ]);

/**
 * Returns the headers in `lookedAt`, or `undefined` if one of these headers was sent more than once. Node itself would
 * silently keep the first value or join the values.
 */
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

/**
 * Returns a function that compares a presented secret with `secret`. The duration of a comparison reveals only whether
 * both have the same length.
 */
export function gatewaySecretCheck(secret: string): (presented: string | undefined) => boolean {
  const known = Buffer.from(secret);
  return (presented = '') => {
    const bytes = Buffer.from(presented);
    return bytes.length === known.length && timingSafeEqual(bytes, known);
  };
}

/**
 * Returns the endpoint that the consumer calls, from the place that `uriFrom` configures. `target` is the request
 * target of the gateway's request to the check.
 */
export function calledEndpoint(
  uriFrom: GatewaySettings['uriFrom'],
  headers: GatewayHeaders,
  target: string,
): EndpointUri | undefined {
  switch (uriFrom) {
    case 'header': {
      const uri = headers.get(ENDPOINT_HEADER) ?? '';
      return isEndpointUri(uri) ? uri : undefined;
    }
    case 'path':
      return endpointOfPath(target.slice(CHECK_PATH.length));
    default:
      return endpointOfPath(headers.get(uriFrom) ?? '');
  }
}

const BEARER = /^Bearer +(\S+)$/i;

/**
 * Returns the token that the consumer sent: the value of the token header, with or without `Bearer`. If the token
 * header is missing, the token in `Authorization: Bearer` (RFC 6750 §2.1) counts instead.
 */
export function presentedToken(headers: GatewayHeaders, tokenHeader: string): string | undefined {
  const given = headers.get(tokenHeader);
  const [, bearer] = BEARER.exec(given ?? headers.get('authorization') ?? '') ?? [];
  return bearer ?? (given === '' || tokenHeader === 'authorization' ? undefined : given);
}
