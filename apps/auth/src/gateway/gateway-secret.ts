import { hash, timingSafeEqual } from 'node:crypto';

/** Says of a presented secret whether it is this one, in constant time. */
export function gatewaySecretCheck(secret: string): (presented: string | undefined) => boolean {
  const known = digest(secret);
  return (presented = '') => timingSafeEqual(digest(presented), known);
}

const digest = (secret: string): Buffer => hash('sha256', secret, 'buffer');
