import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { HmacSha256 } from './hmac-sha-256.js';

describe('HMAC-SHA-256', () => {
  it('equals node’s HMAC for any key and any sequence of texts', () => {
    const key = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
    const messages = fc.array(fc.string({ unit: 'binary', maxLength: 600 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(key, messages, (secret, texts) => {
        const hmac = new HmacSha256(secret);
        return texts.every((text) => hmac.of(text) === createHmac('sha256', secret).update(text).digest('base64'));
      }),
      { numRuns: 500 },
    );
  });

  it('refuses a key that is longer than a block', () => {
    expect(() => new HmacSha256(Buffer.alloc(65))).toThrow(RangeError);
  });
});
