import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { MasterKeys } from './master-keys.js';
import type { RandomBytes } from './random.js';

/** A private key in the encrypted form in which the log stores it. */
export interface WrappedKey {
  readonly masterKeyId: string;
  /**
   * base64url of the nonce (12 bytes), the authentication tag (16 bytes) and the ciphertext. This field is sensitive:
   * only its SHA-256 leaves the log.
   */
  readonly wrappedKey: string;
}

/** The wrapped key was changed, or was wrapped for another `kid`. */
export class KeyUnwrapFailed extends Error {
  override readonly name = 'KeyUnwrapFailed';

  constructor(readonly kid: string) {
    super(`The wrapped key ${kid} can't be unwrapped: it was changed, or is another key's`);
  }
}

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts the private key (AES-256-GCM, NIST SP 800-38D) under the current master key. The result can be decrypted
 * only for the same `kid`.
 */
export function wrapKey(
  privateKey: Buffer,
  kid: string,
  keys: MasterKeys,
  random: RandomBytes = randomBytes,
): WrappedKey {
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keys.derive('key-wrapping'), nonce).setAAD(Buffer.from(kid));
  const ciphertext = Buffer.concat([cipher.update(privateKey), cipher.final()]);
  const wrappedKey = Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]).toString('base64url');
  return { masterKeyId: keys.currentId, wrappedKey };
}

/**
 * Decrypts the private key. Throws `MasterKeyUnknown` if the master key is missing, and `KeyUnwrapFailed` if the
 * decryption fails.
 */
export function unwrapKey({ masterKeyId, wrappedKey }: WrappedKey, kid: string, keys: MasterKeys): Buffer {
  const key = keys.derive('key-wrapping', masterKeyId);
  const bytes = Buffer.from(wrappedKey, 'base64url');
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const tag = bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
  try {
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(kid)).setAuthTag(tag);
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
  } catch {
    throw new KeyUnwrapFailed(kid);
  }
}
