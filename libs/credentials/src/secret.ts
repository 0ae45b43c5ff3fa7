import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ClientId } from '#domain';
import { base62 } from './base62.js';
import type { MasterKeys } from './master-keys.js';
import type { RandomBytes } from './random.js';

const SECRET = /^ccs_([A-Za-z0-9]{43})([A-Za-z0-9]{9})$/;
const RANDOM_BYTES = 32;
const CHECK_BYTES = 6;

export const isSecret = (value: string): boolean => SECRET.test(value);

/**
 * A new secret of this client: `ccs_`, 256 random bits as 43 base62 digits, and 9 base62 digits of check: 48 bits of
 * HMAC-SHA-256 over client id and random part. So a made-up secret, or another client's, is told from a real one
 * without an Argon2 run; the secret itself is no easier to guess.
 */
export function mintSecret(clientId: ClientId, keys: MasterKeys, random: RandomBytes = randomBytes): string {
  const randomPart = base62(random(RANDOM_BYTES), 43);
  return `ccs_${randomPart}${checkOf(clientId, randomPart, keys.derive('secret-check'))}`;
}

/** Was this secret minted for this client, under any known master key? In constant time; says nothing of its being valid. */
export function hasGoodCheck(clientId: string, secret: string, keys: MasterKeys): boolean {
  const [, randomPart, check] = SECRET.exec(secret) ?? [];
  if (randomPart === undefined || check === undefined) return false;
  const given = Buffer.from(check);
  const matches = keys.ids.map((id) =>
    timingSafeEqual(given, Buffer.from(checkOf(clientId, randomPart, keys.derive('secret-check', id)))),
  );
  return matches.includes(true);
}

/** The random part has a fixed length and stands first, so no two pairs give the same input. */
const checkOf = (clientId: string, randomPart: string, key: Buffer): string =>
  base62(createHmac('sha256', key).update(`${randomPart}:${clientId}`).digest().subarray(0, CHECK_BYTES), 9);
