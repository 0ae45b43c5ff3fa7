import { type EndpointUri, isEndpointUri } from '#domain';

/**
 * Returns the endpoint URI in a consumer's request target (`/{endpointUri}/…`): the first segment, byte for byte.
 * Returns `undefined` for a path that the gateway or the provider might understand differently, such as `/a/../b`.
 */
export function endpointOfPath(target: string): EndpointUri | undefined {
  if (NOT_IN_A_TARGET.test(target)) return undefined;
  const [path = ''] = target.split('?', 1);
  const [beforeSlash, first = ''] = path.split('/', 2);
  if (beforeSlash !== '' || !isEndpointUri(first)) return undefined;
  return isStraight(decoded(decoded(path))) ? first : undefined;
}

/** `#`, space or a control character. A server that meets one may end the path there, or leave the character out. */
const NOT_IN_A_TARGET = /[^!"$-~\x80-\xff]/;

/**
 * Removes one layer of percent-encoding. The caller applies this twice, because both the gateway and the provider may
 * decode the path.
 */
const decoded = (path: string): string =>
  path.replace(/%([0-7][0-9a-f])/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)));

const SCHEME = /(?:^|\/)[a-z][a-z0-9+.-]*:\//i;
/**
 * Some servers strip path parameters (`;…`), and thus read `..;` as `..`. A server that parses a decoded path again ends
 * the path at `?` or `#`.
 */
const DOTS = /^\.\.?(?:[;?#].*)?$/s;
const CONTROL_CHARACTER = /[^ -~\x80-\xff]/;

function isStraight(path: string): boolean {
  if (CONTROL_CHARACTER.test(path) || path.includes('\\') || SCHEME.test(path)) return false;
  const segments = path.split('/').slice(1);
  return segments.every((segment, i) => !DOTS.test(segment) && (segment !== '' || i === segments.length - 1));
}
