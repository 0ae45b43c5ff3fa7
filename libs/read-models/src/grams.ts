/** Number of code points of the longest gram. */
const LONGEST = 3;

/**
 * Returns the distinct grams of a text: its substrings of one to three code points. An index of grams finds the texts
 * that contain a given text.
 */
export function gramsOf(text: string): string[] {
  const codePoints = codePointsOf(text);
  const grams = new Set<string>();
  for (let from = 0; from < codePoints.length; from++) {
    for (let length = 1; length <= LONGEST && from + length <= codePoints.length; length++) {
      grams.add(codePoints.slice(from, from + length).join(''));
    }
  }
  return [...grams];
}

/**
 * Returns grams that every text has that contains `text`: only the longest ones, because they are the rarest. At most
 * `limit`, spread over the text. Texts of one to three code points are found by a single gram, and by nothing else.
 */
export function gramsIn(text: string, limit: number): string[] {
  const codePoints = codePointsOf(text);
  const length = Math.min(LONGEST, codePoints.length);
  if (length === 0) return [];
  const starts = codePoints.length - length + 1;
  const grams = Array.from({ length: starts }, (_, from) => codePoints.slice(from, from + length).join(''));
  const distinct = [...new Set(grams)];
  if (distinct.length <= limit) return distinct;
  return Array.from({ length: limit }, (_, at) => distinct[Math.floor((at * distinct.length) / limit)] ?? '');
}

/** A lone surrogate is replaced, because stores write U+FFFD instead. */
const codePointsOf = (text: string): string[] => Array.from(text.replace(/\p{Cs}/gu, '\ufffd'));
