import type { GatewayHeaders } from './gateway-headers.js';

const BEARER = /^Bearer +(\S+)$/i;

/**
 * The token that a consumer sent: the token header's, with or without `Bearer`, and where it is there no other; else
 * `Authorization: Bearer` (RFC 6750 §2.1).
 */
export function presentedToken(headers: GatewayHeaders, tokenHeader: string): string | undefined {
  const given = headers.get(tokenHeader);
  const [, bearer] = BEARER.exec(given ?? headers.get('authorization') ?? '') ?? [];
  return bearer ?? (given === '' || tokenHeader === 'authorization' ? undefined : given);
}
