/** Returns the form of a name that is used for prefix search and sorting: NFKC, lower case, trimmed. */
export const searchKey = (name: string): string => name.normalize('NFKC').toLowerCase().trim();

/**
 * Returns the first string that comes after all strings that begin with `prefix`, by code point. Returns `undefined` if
 * no such string exists.
 */
export function endOfPrefix(prefix: string): string | undefined {
  // A lone surrogate is replaced here, because stores write U+FFFD instead of a lone surrogate.
  const characters = Array.from(prefix.replace(/\p{Cs}/gu, '\ufffd'));
  const codePoints = characters.map((character) => character.codePointAt(0) ?? 0);
  const last = codePoints.findLastIndex((codePoint) => codePoint < 0x10ffff);
  const codePoint = codePoints[last];
  if (codePoint === undefined) return undefined;
  const next = codePoint === 0xd7ff ? 0xe000 : codePoint + 1;
  return characters.slice(0, last).join('') + String.fromCodePoint(next);
}
