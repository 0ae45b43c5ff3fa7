import { randomBytes } from 'node:crypto';
import { argon2id, hash, verify } from 'argon2';
import type { MasterKeys } from './master-keys.js';
import type { RandomBytes } from './random.js';

/** Recommended by the OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes, 1 lane. */
const PARAMETERS = { type: argon2id, version: 0x13, memoryCost: 19_456, timeCost: 2, parallelism: 1, hashLength: 32 };
const SALT_BYTES = 16;

const VERIFIER =
  /^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+,keyid=([A-Za-z0-9+/]{11})\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/;

/**
 * Returns the verifier that is stored in place of the secret: Argon2id (RFC 9106) in PHC form. The pepper (Argon2's
 * secret value K) is derived from the current master key. The parameter `keyid` is that master key's id.
 */
export async function hashSecret(secret: string, keys: MasterKeys, random: RandomBytes = randomBytes): Promise<string> {
  const salt = random(SALT_BYTES);
  const digest = await hash(secret, { ...PARAMETERS, salt, secret: keys.derive('pepper'), raw: true });
  return phc(keys.currentId, salt, digest);
}

/**
 * Whether the verifier was made from this secret. Throws `MasterKeyUnknown` if the master key of the verifier's pepper
 * is missing.
 */
export function verifySecret(secret: string, verifier: string, keys: MasterKeys): Promise<boolean> {
  return verify(verifier, secret, { secret: keys.derive('pepper', masterKeyIdOf(verifier)) });
}

/**
 * Returns the id of the master key that a verifier needs. Throws a `TypeError` if the text is not a verifier; the
 * message does not quote the text.
 */
export function masterKeyIdOf(verifier: string): string {
  const [, keyId] = VERIFIER.exec(verifier) ?? [];
  if (keyId === undefined) throw new TypeError('Not an Argon2id verifier in PHC form with a keyid');
  return Buffer.from(keyId, 'base64').toString('hex');
}

/**
 * Returns a verifier that no secret matches. Checking a secret against this verifier takes one Argon2 run, as for a
 * real verifier.
 */
export const dummyVerifier = (keys: MasterKeys): string =>
  phc(keys.currentId, randomBytes(SALT_BYTES), randomBytes(PARAMETERS.hashLength));

const phc = (masterKeyId: string, salt: Buffer, digest: Buffer): string => {
  const { version, memoryCost, timeCost, parallelism } = PARAMETERS;
  const parameters = `m=${memoryCost},t=${timeCost},p=${parallelism},keyid=${unpadded(Buffer.from(masterKeyId, 'hex'))}`;
  return `$argon2id$v=${version}$${parameters}$${unpadded(salt)}$${unpadded(digest)}`;
};

/** PHC's encoding B64: base64 without padding. */
const unpadded = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '');
