import { DomainError } from './domain-error.js';

const CONTROL_CHARACTER = /\p{Cc}/u;
const LONE_SURROGATE = /\p{Cs}/u;

/**
 * Returns the trimmed form of a text that a person typed. The trimmed text must have 1 to `max` characters (Unicode
 * code points), contain no control characters, and be well-formed Unicode (RFC 8785 can hash only well-formed Unicode).
 * Otherwise throws `DomainError` with `code`, naming `field`.
 */
export function trimmedText(raw: string, max: number, code: string, field: string): string {
  const text = raw.trim();
  const length = Array.from(text).length;
  if (length < 1 || length > max)
    throw new DomainError('invalid', code, `${field} must have 1 to ${max} characters`, field);
  if (CONTROL_CHARACTER.test(text))
    throw new DomainError('invalid', code, `${field} must not hold control characters`, field);
  if (LONE_SURROGATE.test(text)) throw new DomainError('invalid', code, `${field} must be well-formed Unicode`, field);
  return text;
}
