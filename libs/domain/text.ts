import { DomainError } from './domain-error.js';

/** Control characters, and the separators of lines and paragraphs. */
const CONTROL_CHARACTER = /[\p{Cc}\p{Zl}\p{Zp}]/u;

/**
 * Characters that change the direction of the text after them (UAX #9 §2.1 to §2.4). With them, a name looks like
 * another name.
 */
const DIRECTION_CHANGE = /[\u202a-\u202e\u2066-\u2069]/;
/** White space, characters without an appearance, the blank Braille pattern, and marks of annotations. */
const INVISIBLE = /^[\p{White_Space}\p{Default_Ignorable_Code_Point}\u2800\ufff9-\ufffb]*$/u;

/**
 * Returns the trimmed form of a text that a person typed. The trimmed text must have 1 to `max` characters (Unicode
 * code points), one of them visible, contain no control characters and no changes of direction, and be well-formed
 * Unicode (RFC 8785 can hash only well-formed Unicode). Otherwise throws `DomainError` with `code`, naming `field`.
 */
export function trimmedText(raw: string, max: number, code: string, field: string): string {
  const text = raw.trim();
  const length = Array.from(text).length;
  const refuse = (rule: string) => {
    throw new DomainError('invalid', code, `${field} must ${rule}`, field);
  };
  if (length < 1 || length > max) refuse(`have 1 to ${max} characters`);
  if (CONTROL_CHARACTER.test(text)) refuse('not hold control characters');
  if (!text.isWellFormed()) refuse('be well-formed Unicode');
  if (DIRECTION_CHANGE.test(text)) refuse('not change the direction of the text');
  if (INVISIBLE.test(text)) refuse('have a visible character');
  return text;
}
