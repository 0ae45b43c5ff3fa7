import { isIP, SocketAddress } from 'node:net';
import proxyAddress from '@fastify/proxy-addr';

const WITH_PORT = /^(?:\[(?<v6>[^\]]+)\](?::\d+)?|(?<v4>\d+\.\d+\.\d+\.\d+):\d+)$/;

/** Returns the address without the brackets and the port that some proxies write into `X-Forwarded-For`. */
export function withoutPort(address: string): string {
  const { v4, v6 } = WITH_PORT.exec(address)?.groups ?? {};
  return v4 ?? v6 ?? address;
}

/** Returns whether the address belongs to a trusted proxy, whose `X-Forwarded-For` is believed. */
export type TrustsProxy = (address: string, hop: number) => boolean;

/** Trusts these addresses and CIDRs, whether or not the proxy before them wrote a port behind the address. */
export function trustIn(trustedProxies: readonly string[]): TrustsProxy {
  const isTrusted = proxyAddress.compile([...trustedProxies]);
  return (address, hop) => isTrusted(withoutPort(address), hop);
}

const GROUPS = 8;
const GROUPS_OF_64_BITS = 4;

/**
 * The name under which calls from an address are counted. An IPv4 address (also one mapped into IPv6) is counted alone.
 * An IPv6 address is counted as its /64 network, since one subscriber usually has a whole /64. All texts that are not
 * addresses are counted together.
 */
export function networkOf(address: string): string {
  const family = isIP(address);
  if (family === 0) return 'unknown';
  if (family === 4) return address;
  // The text has the format of RFC 5952, without a zone.
  const { address: canonical } = new SocketAddress({ address, family: 'ipv6' });
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(canonical) ?? [];
  if (mapped !== undefined) return mapped;
  const [left = [], right = []] = canonical.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = Array<string>(GROUPS - left.length - right.length).fill('0');
  return `${[...left, ...zeros, ...right].slice(0, GROUPS_OF_64_BITS).join(':')}::/64`;
}
