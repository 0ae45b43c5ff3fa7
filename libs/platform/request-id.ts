import { randomUUID } from 'node:crypto';
const NAME = 'x-request-id';
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Returns the caller's `X-Request-Id` if the header was sent once and matches `[A-Za-z0-9._-]{1,64}`. Otherwise returns
 * a new UUID.
 */
export function requestIdOf(rawHeaders: readonly string[]): string {
  let given: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length !== NAME.length || name.toLowerCase() !== NAME) continue;
    if (given !== undefined) return randomUUID();
    given = rawHeaders[i + 1];
  }
  return given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
}
