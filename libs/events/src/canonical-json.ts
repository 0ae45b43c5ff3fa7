import canonicalize from 'canonicalize';

/** The value has no RFC 8785 form: `undefined`, NaN, an infinity, a bigint, or text that is not well-formed Unicode. */
export class NotCanonical extends Error {
  override readonly name = 'NotCanonical';
}

// JSON.stringify writes a surrogate as an escape only where it stands alone; an even run of `\` before it is text.
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

/**
 * The RFC 8785 (JCS) form of a JSON value; fields that are `undefined` are left out, as `JSON.stringify` does.
 * Throws `NotCanonical`, never naming the value.
 */
export function canonicalJson(value: unknown): string {
  let json: string | undefined;
  try {
    json = canonicalize(value);
  } catch (cause) {
    throw new NotCanonical('A value has no canonical JSON form', { cause });
  }
  if (json === undefined) throw new NotCanonical('undefined has no canonical JSON form');
  if (json.includes('\\ud') && LONE_SURROGATE.test(json)) throw new NotCanonical('Text is not well-formed Unicode');
  return json;
}
