import { type EndpointUri, isEndpointUri } from '#domain';

/**
 * The endpoint that a consumer's request target (`/{endpointUri}/…`) names: its first segment, byte for byte.
 * `undefined` for a path that a gateway or a provider may take for another than it looks like.
 */
export function endpointOfPath(target: string): EndpointUri | undefined {
  const [path = ''] = target.split('?', 1);
  const [beforeSlash, first = ''] = path.split('/', 2);
  if (beforeSlash !== '' || !isEndpointUri(first)) return undefined;
  return isStraight(decoded(decoded(path))) ? first : undefined;
}

/** Twice, since a gateway and the provider behind it may decode one after the other. */
const decoded = (path: string): string =>
  path.replace(/%([0-7][0-9a-f])/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)));

const SCHEME = /(?:^|\/)[a-z][a-z0-9+.-]*:\//i;
/** `..;` is `..` to servers that strip path parameters. */
const DOTS = /^(?:\.|\.\.|\.\.;.*)$/s;

function isStraight(path: string): boolean {
  if (path.includes('\0') || path.includes('\\') || SCHEME.test(path)) return false;
  const segments = path.split('/').slice(1);
  return segments.every((segment, i) => !DOTS.test(segment) && (segment !== '' || i === segments.length - 1));
}
