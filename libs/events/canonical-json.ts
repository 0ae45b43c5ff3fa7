/**
 * The value has no RFC 8785 form. Such values are `undefined`, NaN, infinities, bigints, and text that is not
 * well-formed Unicode.
 */
export class NotCanonical extends Error {
  override readonly name = 'NotCanonical';
}

// JSON.stringify writes an escape `\ud…` only for a surrogate that lacks its partner. `\\ud…` is not such an escape:
// there, the first backslash escapes the second.
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

/**
 * Returns the RFC 8785 (JCS) form of a JSON value. Leaves out fields that are `undefined`, as `JSON.stringify` does.
 * Throws `NotCanonical`; the message never contains the value.
 */
export function canonicalJson(value: unknown): string {
  const json = written(value);
  if (json === undefined) throw new NotCanonical('undefined has no canonical JSON form');
  if (json.includes('\\ud') && LONE_SURROGATE.test(json)) throw new NotCanonical('Text is not well-formed Unicode');
  return json;
}

/**
 * JavaScript writes numbers, strings and literals as RFC 8785 §3.2.2 requires, but `JSON.stringify` does not sort an
 * object's names.
 */
function written(value: unknown): string | undefined {
  if (Array.isArray(value)) return `[${value.map((item) => written(item) ?? 'null').join(',')}]`;
  switch (typeof value) {
    case 'object':
      return value === null ? 'null' : writtenMembers(value as Readonly<Record<string, unknown>>);
    case 'string':
      return quoted(value);
    case 'boolean':
      return String(value);
    case 'number':
      if (Number.isFinite(value)) return String(value);
      throw new NotCanonical('NaN and infinities have no canonical JSON form');
    case 'undefined':
      return undefined;
    default:
      throw new NotCanonical(`A ${typeof value} has no canonical JSON form`);
  }
}

function writtenMembers(object: Readonly<Record<string, unknown>>): string {
  let members = '';
  for (const name of sortedNames(object)) {
    const value = written(object[name]);
    if (value !== undefined) members += `${members && ','}${quoted(name)}:${value}`;
  }
  return `{${members}}`;
}

/**
 * Comparisons of texts and `sort` compare UTF-16 code units, as RFC 8785 §3.2.3 requires. The names are often in order
 * already, and then `sort` would take most of the time of writing the object.
 */
function sortedNames(object: Readonly<Record<string, unknown>>): string[] {
  const names = Object.keys(object);
  for (let i = 1; i < names.length; i += 1) if ((names[i - 1] ?? '') > (names[i] ?? '')) return names.sort();
  return names;
}

// Matches most of our texts. This test is three times as fast as a call of JSON.stringify for each text.
const NEEDS_NO_ESCAPE = /^[ !#-[\]-~]*$/;
const quoted = (text: string): string => (NEEDS_NO_ESCAPE.test(text) ? `"${text}"` : JSON.stringify(text));
