import { jsonObjectIn } from '#platform';
import { invalidRequest } from './oauth-error.js';

/** Parameters of a form or a JSON body: strings only. */
export type Parameters = Readonly<Record<string, string>>;

/** A JSON body's members that are strings. Throws a `Problem` where it is not a JSON object, or repeats a name. */
export function jsonParameters(body: Buffer): Parameters {
  const parameters = jsonObjectIn(body);
  for (const name in parameters) {
    if (typeof parameters[name] !== 'string') throw invalidRequest(`${printable(name)} must be a string`);
  }
  return parameters as Parameters;
}

/** `application/x-www-form-urlencoded`, in which no parameter may be repeated (RFC 6749 §3.2), not even without a value. */
export function formParameters(body: Buffer): Parameters {
  const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
  const seen = new Set<string>();
  for (const [name, value] of new URLSearchParams(body.toString('utf8'))) {
    if (seen.has(name)) throw invalidRequest(`${printable(name)} must not be given twice`);
    seen.add(name);
    if (value !== '') parameters[name] = value; // sent without a value means omitted
  }
  return parameters;
}

/** Throws `invalid_request` where the parameter is missing. */
export function required(parameters: Parameters, name: string): string {
  const value = parameters[name];
  if (value === undefined || value === '') throw invalidRequest(`${name} is needed`);
  return value;
}

/** `error_description` holds visible ASCII only (RFC 6749 §5.2), and nothing that a caller sent but a short name. */
const printable = (name: string): string => (/^[a-z_-]{1,32}$/.test(name) ? name : 'A parameter');
