import { type EndpointUri, isEndpointUri } from '#domain';

/**
 * Returns the endpoint URI in a consumer's request target (`/{endpointUri}/…`): the first segment, byte for byte.
 * Returns `undefined` for a path that the gateway or the provider might understand differently, such as `/a/../b`.
 */
export function endpointOfPath(target: string): EndpointUri | undefined {
  const [path = ''] = target.split('?', 1);
  const [beforeSlash, first = ''] = path.split('/', 2);
  if (beforeSlash !== '' || !isEndpointUri(first)) return undefined;
  return isStraight(decoded(decoded(path))) ? first : undefined;
}

/**
 * Removes one layer of percent-encoding. The caller applies this twice, because both the gateway and the provider may
 * decode the path.
 */
const decoded = (path: string): string =>
  path.replace(/%([0-7][0-9a-f])/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)));

const SCHEME = /(?:^|\/)[a-z][a-z0-9+.-]*:\//i;
/** Some servers strip path parameters (`;…`), and thus read `..;` as `..`. */
const DOTS = /^(?:\.|\.\.|\.\.;.*)$/s;

function isStraight(path: string): boolean {
  if (path.includes('\0') || path.includes('\\') || SCHEME.test(path)) return false;
  const segments = path.split('/').slice(1);
  return segments.every((segment, i) => !DOTS.test(segment) && (segment !== '' || i === segments.length - 1));
}
