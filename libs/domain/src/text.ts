import { DomainError, type DomainErrorCode } from './domain-error.js';

const CONTROL_CHARACTER = /\p{Cc}/u;
const LONE_SURROGATE = /\p{Cs}/u;

/**
 * Text that people typed: trimmed, 1 to `max` characters (Unicode code points), no control characters, well-formed
 * Unicode (RFC 8785 can't hash anything else). Throws `DomainError` with `code`, naming `field`.
 */
export function trimmedText(raw: string, max: number, code: DomainErrorCode, field: string): string {
  const text = raw.trim();
  const length = Array.from(text).length;
  if (length < 1 || length > max) throw new DomainError(code, `${field} must have 1 to ${max} characters`, field);
  if (CONTROL_CHARACTER.test(text)) throw new DomainError(code, `${field} must not hold control characters`, field);
  if (LONE_SURROGATE.test(text)) throw new DomainError(code, `${field} must be well-formed Unicode`, field);
  return text;
}
