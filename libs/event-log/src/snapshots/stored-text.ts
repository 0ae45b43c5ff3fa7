import { promisify } from 'node:util';
import { deflate, inflate } from 'node:zlib';
import { fromCheckedText, toCheckedText } from './checked-text.js';
import type { Parts } from './command-index.js';

/** Texts of at most this length are stored as they are. Longer ones are compressed. */
const LONGEST_PLAIN = 64 * 1024;
/** Length of a piece of a text that is too long even in compressed form. A piece is ASCII. */
const PIECE_LENGTH = 900_000;

const DEFLATED = 'deflated:';
const IN_PARTS = 'in parts:';

/**
 * Returns the text that is stored for this content. It is always smaller than `MAX_APPEND_BYTES`: a long text is
 * compressed, and if this is not enough, it is written as parts, and the result names the parts. Throws what `parts`
 * throws.
 */
export async function toStoredText(content: object, parts: Parts): Promise<string> {
  const text = toCheckedText(content);
  if (text.length <= LONGEST_PLAIN) return text;
  const compressed = DEFLATED + (await promisify(deflate)(text)).toString('base64');
  if (compressed.length <= PIECE_LENGTH) return compressed;
  const numbers: number[] = [];
  for (let at = 0; at < compressed.length; at += PIECE_LENGTH) {
    numbers.push(await parts.write([compressed.slice(at, at + PIECE_LENGTH)]));
  }
  return IN_PARTS + numbers.join(',');
}

/** Returns the content; `undefined` if the text or one of its parts is missing or damaged. Throws what `parts` throws. */
export async function fromStoredText(stored: string | undefined, parts: Parts): Promise<unknown> {
  let text = stored;
  if (text?.startsWith(IN_PARTS)) {
    const numbers = text.slice(IN_PARTS.length).split(',').map(Number);
    text = (await Promise.all(numbers.map((number) => parts.read(number)))).join('');
  }
  if (text?.startsWith(DEFLATED)) text = await inflated(text.slice(DEFLATED.length));
  return fromCheckedText(text);
}

const inflated = (base64: string): Promise<string | undefined> =>
  promisify(inflate)(Buffer.from(base64, 'base64')).then(
    (text) => text.toString(),
    () => undefined,
  );
