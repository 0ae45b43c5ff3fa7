import { isUtf8 } from 'node:buffer';
import { jsonObjectIn, undecodableParameter } from '#platform';
import { invalidRequest } from './oauth-error.js';

/** The parameters in a form or a JSON body. No value is empty. */
export type Parameters = Readonly<Record<string, string>>;

/**
 * Parses a JSON body by the rules of a form: `null` and `''` count as omitted, and parameters other than `names` are
 * ignored, whatever their type (RFC 6749 §3.2). Throws a `Problem` if the body is not a JSON object or repeats a name,
 * and `OAuthError` if one of `names` is neither a string nor `null`.
 */
export function jsonParameters(body: Buffer, names: readonly string[]): Parameters {
  const given = jsonObjectIn(body);
  const parameters: Record<string, string> = {};
  for (const name of names) {
    const value = given[name] ?? '';
    if (typeof value !== 'string') throw invalidRequest(`${name} must be a string`);
    if (value !== '') parameters[name] = value;
  }
  return parameters;
}

/**
 * Parses an `application/x-www-form-urlencoded` body. Throws `OAuthError` if the body is not percent-encoded UTF-8, or
 * if a parameter is repeated, even with an empty value (RFC 6749 §3.2).
 */
export function formParameters(body: Buffer): Parameters {
  if (!isUtf8(body)) throw invalidRequest('The body is not UTF-8');
  const text = body.toString();
  const undecodable = text.includes('%') ? undecodableParameter(text) : undefined;
  if (undecodable !== undefined) throw invalidRequest(`${printable(undecodable)} must be percent-encoded UTF-8`);
  const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
  const seen = new Set<string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (seen.has(name)) throw invalidRequest(`${printable(name)} must not be given twice`);
    seen.add(name);
    if (value !== '') parameters[name] = value; // RFC 6749 §3.2: an empty parameter counts as omitted.
  }
  return parameters;
}

/** Returns the parameter's value. Throws an `OAuthError` (`invalid_request`) if the parameter is missing. */
export function required(parameters: Parameters, name: string): string {
  const value = parameters[name];
  if (value === undefined) throw invalidRequest(`${name} is needed`);
  return value;
}

/**
 * The name of a parameter, or the path of a value in it, for an error message. `error_description` allows visible ASCII
 * only (RFC 6749 §5.2), so any unusual name is replaced.
 */
export const printable = (name: string): string => (/^[\w.[\]-]{1,64}$/.test(name) ? name : 'A parameter');
