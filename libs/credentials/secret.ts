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
 * Returns a new secret for this client: `ccs_`, 256 random bits as 43 base62 digits, and a check of 9 base62 digits.
 * The check is 48 bits of HMAC-SHA-256 over the client id and the random part. With the check, we refuse a
 * made-up secret, or another client's secret, without computing an Argon2 hash. The check makes the secret no easier to
 * guess.
 */
export function mintSecret(clientId: ClientId, keys: MasterKeys, random: RandomBytes = randomBytes): string {
  const randomPart = base62(random(RANDOM_BYTES), 43);
  return `ccs_${randomPart}${checkOf(clientId, randomPart, keys.derive('secret-check'))}`;
}

const HINT_LENGTH = 4;

/**
 * Returns the first four characters of the secret's random part. They tell a person which of two secrets is which, and
 * leave 232 of the 256 random bits unknown.
 */
export const hintOf = (secret: string): string => secret.slice('ccs_'.length, 'ccs_'.length + HINT_LENGTH);

/**
 * Whether this secret was minted for this client, under any known master key. Takes constant time. The result is `true`
 * even if a rotation has replaced the secret since.
 */
export function hasGoodCheck(clientId: string, secret: string, keys: MasterKeys): boolean {
  const [, randomPart, check] = SECRET.exec(secret) ?? [];
  if (randomPart === undefined || check === undefined) return false;
  const given = Buffer.from(check);
  const matches = keys.ids.map((id) =>
    timingSafeEqual(given, Buffer.from(checkOf(clientId, randomPart, keys.derive('secret-check', id)))),
  );
  return matches.includes(true);
}

/**
 * The random part comes first and has a fixed length, so two different pairs of client id and random part never give
 * the same text.
 */
const checkOf = (clientId: string, randomPart: string, key: Buffer): string =>
  base62(createHmac('sha256', key).update(`${randomPart}:${clientId}`).digest().subarray(0, CHECK_BYTES), 9);
