import { type Problem, validationFailed } from './problem.js';

/**
 * Returns the name of the first parameter in a query or a form that is not percent-encoded UTF-8 (`%ff`, `%zz`), or
 * `undefined` if there is none. Parsers would keep such text as it is, or put U+FFFD in its place.
 */
export function undecodableParameter(parameters: string): string | undefined {
  const wrong = parameters.split('&').find((parameter) => decoded(parameter) === undefined);
  return wrong === undefined ? undefined : (decoded(wrong.split('=', 1)[0] ?? '') ?? 'a parameter');
}

const NOT_IN_A_QUERY = /[^!-~]/;
const RULE = 'must be percent-encoded UTF-8';

/** Returns the 400 `Problem` of a target whose query is not percent-encoded UTF-8, naming the parameter. */
export function queryProblem(target: string): Problem | undefined {
  const [, query] = /\?(.*)$/s.exec(target) ?? [];
  if (query === undefined) return undefined;
  if (NOT_IN_A_QUERY.test(query)) return validationFailed({ field: 'query', message: RULE });
  const field = undecodableParameter(query);
  return field === undefined ? undefined : validationFailed({ field, message: RULE });
}

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
};
