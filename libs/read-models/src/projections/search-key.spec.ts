import fc from 'fast-check';
import { endOfPrefix, searchKey } from '#read-models';

const LAST_CODE_POINT = 0x10ffff;

const HAS_A_MEANING = /[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Z}\p{Cf}]/u;

/** All characters to which Unicode gives a meaning. */
function* characters(): Generator<string> {
  for (let codePoint = 0; codePoint <= LAST_CODE_POINT; codePoint += 1) {
    const character = String.fromCodePoint(codePoint);
    if (HAS_A_MEANING.test(character)) yield character;
  }
}

/** Texts over all of Unicode, with many characters whose case or form depends on their neighbours. */
const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }),
      fc.constantFrom(
        'Σ',
        'ς',
        'İ',
        'I',
        'ı',
        'ß',
        'ẞ',
        'ﬁ',
        'e',
        '\u0301',
        '\u0323',
        '\u0307',
        '\u0345',
        ' ',
        '\u00a0',
      ),
      fc.constantFrom('가', '\u1100', '\u1161', '\u11a8', '\u200d', '\u00ad', '´', 'ﷺ', 'か', '\u3099', '\ufeff', 'Ǆ'),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

it('the key of a prefix is a prefix of the key', () => {
  fc.assert(
    fc.property(text, fc.nat(), (name, length) => {
      const prefix = Array.from(name)
        .slice(0, length % (name.length + 1))
        .join('');
      expect(searchKey(name).startsWith(searchKey(prefix))).toBe(true);
    }),
    { numRuns: 20_000 },
  );
});

it('a key lies between its prefix and the end of the prefix', () => {
  const bytes = (key: string) => Buffer.from(key);
  fc.assert(
    fc.property(text, text, (name, rest) => {
      const [prefix, key] = [searchKey(name), searchKey(name + rest)];
      const end = endOfPrefix(prefix);
      expect(Buffer.compare(bytes(prefix), bytes(key))).toBeLessThanOrEqual(0);
      if (end !== undefined) expect(Buffer.compare(bytes(key), bytes(end))).toBe(-1);
    }),
    { numRuns: 5_000 },
  );
});

it('no character has other keys in upper case, in lower case or in a normal form', () => {
  const different: string[] = [];
  for (const character of characters()) {
    const key = searchKey(`a${character}`);
    const forms = new Set([
      ...[character.toUpperCase(), character.toLowerCase(), character.toUpperCase().toLowerCase()],
      ...[character.normalize('NFC'), character.normalize('NFD'), character.normalize('NFKC')],
    ]);
    forms.delete(character);
    if ([...forms].some((form) => searchKey(`a${form}`) !== key) || searchKey(key) !== key) different.push(character);
  }
  expect(different).toEqual([]);
});

it.each([
  ['ΚΩΣ', 'ΚΩΣΤΑΣ'],
  ['κως', 'ΚΩΣΤΑΣ'],
  ['ΚΩΣ', 'Κώστας'],
  ['istanbul', 'İstanbul'],
  ['İST', 'istanbul'],
  ['ISPARTA', 'ısparta'],
  ['STRASSE', 'Straße'],
  ['straß', 'STRASSE'],
  ['cafe', 'Cafe\u0301 Orders'],
  ['Café', 'CAFE'],
  ['orders i', ' Ｏｒｄｅｒｓ\u3000Importer '],
  ['fi', 'ﬁnance'],
  ['co', 'c\u200bo\u00adoperate'],
])('%s finds %s', (prefix, name) => {
  expect(searchKey(name).startsWith(searchKey(prefix))).toBe(true);
});

it.each([
  ['かく', 'がく'],
  ['कि', 'के'],
  ['strase', 'Straße'],
])('%s does not find %s', (prefix, name) => {
  expect(searchKey(name).startsWith(searchKey(prefix))).toBe(false);
});
