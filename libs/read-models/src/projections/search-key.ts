const ASCII = /^[ -~]*$/;

/**
 * Returns the form of a name that is used for prefix search and sorting. Case, width, accents and invisible characters
 * don't count, nor does white space at the ends. Each code point is folded by itself, so the key of a prefix is always a
 * prefix of the key. (A whole text has other forms: `ΚΩΣ` ends with `ς` in lower case, `ΚΩΣΤΑΣ` has `σ` there.)
 */
export const searchKey = (name: string): string =>
  (ASCII.test(name) ? name.toLowerCase() : Array.from(name, folded).join('')).trim();

/** Accents of Latin, Greek and Cyrillic letters, among them the dot of `İ`; and characters that nobody sees. */
const IGNORED = /[\u0300-\u036f\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Folds one code point. Upper case comes in between, because `ς` and `σ`, or `ß` and `ss`, are the same letters only in
 * upper case.
 */
const folded = (codePoint: string): string =>
  Array.from(codePoint.normalize('NFKD'), (part) => part.toLowerCase().toUpperCase().toLowerCase())
    .join('')
    .normalize('NFKD')
    .replace(IGNORED, '');

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
