/** What names are searched by prefix and sorted by: NFKC, lower-cased, trimmed. */
export const searchKey = (name: string): string => name.normalize('NFKC').toLowerCase().trim();

/** The first string behind all that begin with `prefix`, by code point; `undefined` where nothing can be behind them. */
export function endOfPrefix(prefix: string): string | undefined {
  // A lone surrogate is stored as U+FFFD.
  const characters = Array.from(prefix.replace(/\p{Cs}/gu, '\ufffd'));
  const codePoints = characters.map((character) => character.codePointAt(0) ?? 0);
  const last = codePoints.findLastIndex((codePoint) => codePoint < 0x10ffff);
  const codePoint = codePoints[last];
  if (codePoint === undefined) return undefined;
  const next = codePoint === 0xd7ff ? 0xe000 : codePoint + 1;
  return characters.slice(0, last).join('') + String.fromCodePoint(next);
}
