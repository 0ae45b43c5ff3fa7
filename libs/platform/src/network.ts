import { SocketAddress, isIP } from 'node:net';

const GROUPS = 8;
const GROUPS_OF_64_BITS = 4;

/**
 * What an address is counted as: an IPv4 address (mapped into IPv6 or not) for itself, an IPv6 one as its /64, of
 * which one subscriber has all. Whatever is no address counts as one.
 */
export function networkOf(address: string): string {
  const family = isIP(address);
  if (family === 0) return 'unknown';
  if (family === 4) return address;
  const { address: canonical } = new SocketAddress({ address, family: 'ipv6' }); // RFC 5952, without a zone
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(canonical) ?? [];
  if (mapped !== undefined) return mapped;
  const [left = [], right = []] = canonical.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = Array<string>(GROUPS - left.length - right.length).fill('0');
  return `${[...left, ...zeros, ...right].slice(0, GROUPS_OF_64_BITS).join(':')}::/64`;
}
