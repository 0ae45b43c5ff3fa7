import { hash } from 'node:crypto';

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** Messages of at most this many bytes are hashed in one shared buffer. */
const COMMON_BYTES = 256;

/**
 * HMAC-SHA-256 (RFC 2104) of texts under one key of at most 64 bytes. We compute the HMAC from two one-shot hashes
 * because every login needs an HMAC: `createHmac` makes an object for each message, and that object costs more than
 * both hashes.
 */
export class HmacSha256 {
  readonly #inner: Buffer;
  readonly #outer: Buffer;

  constructor(key: Buffer) {
    if (key.length > BLOCK_BYTES)
      throw new RangeError(`A key of ${key.length} bytes is longer than a block of SHA-256`);
    this.#inner = Buffer.concat([blockOf(key, 0x36), Buffer.alloc(COMMON_BYTES)]);
    this.#outer = Buffer.concat([blockOf(key, 0x5c), Buffer.alloc(DIGEST_BYTES)]);
  }

  /** Returns the HMAC of the message, in base64. */
  of(message: string): string {
    const bytes = Buffer.byteLength(message);
    const inner = bytes > COMMON_BYTES ? Buffer.concat([this.#inner, Buffer.alloc(bytes)]) : this.#inner;
    inner.write(message, BLOCK_BYTES);
    this.#outer.write(hash('sha256', inner.subarray(0, BLOCK_BYTES + bytes), 'binary'), BLOCK_BYTES, 'binary');
    return hash('sha256', this.#outer, 'base64');
  }
}

const blockOf = (key: Buffer, pad: number): Buffer => {
  const block = Buffer.alloc(BLOCK_BYTES, pad);
  key.forEach((byte, index) => (block[index] = byte ^ pad));
  return block;
};
