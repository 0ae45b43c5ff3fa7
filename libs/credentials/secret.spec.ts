import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import {
  apiKeyOf,
  clientIdOfCommand,
  hasGoodCheck,
  MasterKeys,
  mintSecret,
  newClientId,
  parseApiKey,
  type RandomBytes,
} from '#credentials';
import { isClientId } from '#domain';

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

const counting = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const keys = MasterKeys.from({ current: counting });
const ada = 'cc_0123456789abcdefABCDEF';
const bob = 'cc_0123456789abcdefABCDEG';

const always =
  (bytes: Uint8Array): RandomBytes =>
  (size) =>
    Buffer.from(bytes.subarray(0, size));

const numberOf = (digits: string): bigint =>
  Array.from(digits).reduce((number, digit) => number * 62n + BigInt(DIGITS.indexOf(digit)), 0n);

describe('a secret', () => {
  it('is minted in the same way for ever', () => {
    expect(mintSecret(ada, keys, always(Buffer.alloc(32, 0xab)))).toBe(
      'ccs_ehv1hsdOHPxDuX3xn9YyIKbgl4yJuySCWzdimD4heup0600TJ6pW',
    );
  });

  it('holds all 256 random bits, in a fixed form that form encoding never changes', () => {
    const randomness = fc.oneof(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.constantFrom(new Uint8Array(32), new Uint8Array(32).fill(255)),
    );
    fc.assert(
      fc.property(randomness, (bytes) => {
        const secret = mintSecret(ada, keys, always(bytes));
        expect(secret).toMatch(/^ccs_[A-Za-z0-9]{52}$/);
        expect(numberOf(secret.slice(4, 47))).toBe(BigInt(`0x${Buffer.from(bytes).toString('hex')}`));
        expect(hasGoodCheck(ada, secret, keys)).toBe(true);
      }),
    );
  });

  it('is refused by its check when one character differs', () => {
    const secret = mintSecret(ada, keys);
    const characters = fc.constantFrom(...Array.from(DIGITS), '_', '-', ' ', 'é');
    fc.assert(
      fc.property(fc.nat(secret.length - 1), characters, (index, character) => {
        fc.pre(secret[index] !== character);
        expect(hasGoodCheck(ada, secret.slice(0, index) + character + secret.slice(index + 1), keys)).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it('is refused by its check for another client', () => {
    expect(hasGoodCheck(bob, mintSecret(ada, keys), keys)).toBe(false);
  });

  it.each([
    '',
    'ccs_',
    'x'.repeat(100_000),
    `ccs_${'0'.repeat(52)}`,
    `ccs_${'z'.repeat(52)}`,
    `${mintSecret(ada, keys)}\n`,
  ])('is refused by its check when it was made up', (secret) => {
    expect(hasGoodCheck(ada, secret, keys)).toBe(false);
  });

  it('passes its check under a previous master key, but not under a foreign one', () => {
    const secret = mintSecret(ada, keys);
    const other = Buffer.alloc(32, 9);
    expect(hasGoodCheck(ada, secret, MasterKeys.from({ current: other, previous: [counting] }))).toBe(true);
    expect(hasGoodCheck(ada, secret, MasterKeys.from({ current: other }))).toBe(false);
  });
});

describe('an API key', () => {
  const secret = mintSecret(ada, keys);

  it('is base64 of client id and secret, and can be parsed', () => {
    const apiKey = apiKeyOf(ada, secret);
    expect(Buffer.from(apiKey, 'base64').toString()).toBe(`${ada}:${secret}`);
    expect(parseApiKey(apiKey)).toEqual({ clientId: ada, secret });
  });

  it.each([
    ['empty', ''],
    ['no base64', 'not an api key'],
    ['unpadded', apiKeyOf(ada, secret).replaceAll('=', '')],
    ['a space before it', ` ${apiKeyOf(ada, secret)}`],
    ['other spare bits', apiKeyOf(ada, secret).replace(/.==$/, (end) => `${end === 'A==' ? 'B' : 'h'}==`)],
    ['no colon', Buffer.from(ada + secret).toString('base64')],
    ['a second colon', Buffer.from(`${ada}:${secret}:`).toString('base64')],
    ['no client id', Buffer.from(`ada:${secret}`).toString('base64')],
    ['no secret', Buffer.from(`${ada}:`).toString('base64')],
    ['a line end', Buffer.from(`${ada}:${secret}\n`).toString('base64')],
  ])('is refused in any other form: %s', (_, apiKey) => {
    expect(parseApiKey(apiKey)).toBeUndefined();
  });

  it('is refused without an exception, for any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => parseApiKey(text) === undefined));
  });
});

describe('the patterns of the operations guide', () => {
  const guide = readFileSync(join(__dirname, '../../docs/operations.md'), 'utf8');
  const patternOf = (name: string): RegExp => {
    const [, pattern] = new RegExp(`^\\| ${name} +\\| \`(.+)\` +\\|$`, 'm').exec(guide) ?? [];
    if (pattern === undefined) throw new Error(`The guide has no pattern of ${name}`);
    return new RegExp(pattern, 'g');
  };
  const secretPattern = patternOf('client secret');
  const keyPattern = patternOf('API key');

  it.each(Array.from({ length: 20 }, () => newClientId()))('find the secret and the API key of %s', (clientId) => {
    const secret = mintSecret(clientId, keys);
    const apiKey = apiKeyOf(clientId, secret);
    const file = `ID=${clientId}\nSECRET="${secret}"\nKEY: ${apiKey}\nurl?key=${apiKey.replace('==', '')}&a=b\n`;
    expect(file.match(secretPattern)).toEqual([secret]);
    expect(file.match(keyPattern)).toEqual([apiKey.slice(0, -2), apiKey.slice(0, -2)]);
  });

  it('find nothing in ids, hashes and tokens of others', () => {
    const secret = mintSecret(ada, keys);
    const others = [ada, secret.slice(0, -1), `${secret}a`, `a${secret}`, apiKeyOf(ada, secret).slice(0, -3)];
    const text = [...others, 'a'.repeat(200), Buffer.from(`${ada}:a secret of another kind`).toString('base64')].join(
      ' ',
    );
    expect(text.match(secretPattern)).toBeNull();
    expect(text.match(keyPattern)).toBeNull();
  });
});

describe('a client id', () => {
  it('is 128 random bits in the form of the domain', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const id = newClientId(always(bytes));
        expect(id).toMatch(/^cc_[A-Za-z0-9]{22}$/);
        expect(isClientId(id)).toBe(true);
        expect(numberOf(id.slice(3))).toBe(BigInt(`0x${Buffer.from(bytes).toString('hex')}`));
      }),
    );
    expect(newClientId()).not.toBe(newClientId());
  });

  it('derives from the command that creates the client, in the same way for ever', () => {
    const id = clientIdOfCommand('5f0c6a52-0b6e-5d8f-9a2b-3c1d4e5f6a7b');
    expect(id).toBe('cc_3x0yYyHZ9g0SoGVDfB30UI');
    expect(isClientId(id)).toBe(true);
    expect(clientIdOfCommand('5f0c6a52-0b6e-5d8f-9a2b-3c1d4e5f6a7c')).not.toBe(id);
  });
});
