const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Returns the text of the bytes, or `undefined` if they are not UTF-8. A byte order mark stays in the text. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Returns the bytes of standard base64 with padding. Returns `undefined` for a text that is not how they are written. */
export function base64Bytes(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** Returns a number from 0 to 2^53 − 1 that is written without sign and leading zeros; `undefined` for other texts. */
export function numberIn(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

/**
 * Returns the text with escapes in place of characters that could hide or imitate a line of the verdict: control
 * characters, line and paragraph separators, and marks that change the direction of writing.
 */
export const visible = (text: string): string =>
  text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`);
