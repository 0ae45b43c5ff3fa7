import { STATUS_CODES } from 'node:http';

/** The error of one input field. The field's name is a path: `a.b[0]` is the first item of member `b` of `a`. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/**
 * The body of an `application/problem+json` answer (RFC 9457). `code` never changes, so callers can branch on `code`.
 */
export interface ProblemDetails {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly requestId: string;
  readonly errors?: readonly FieldError[];
}

export interface ProblemOptions {
  readonly errors?: readonly FieldError[];
  /** Headers of the answer, e.g. `Retry-After`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The cause is logged, but never sent to the caller. */
  readonly cause?: unknown;
}

/**
 * An error that is sent as the answer: an HTTP status, a stable code in UPPER_SNAKE_CASE, and a detail that callers may
 * see.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly errors: readonly FieldError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    options: ProblemOptions = {},
  ) {
    super(`${code}: ${detail}`, { cause: options.cause });
    this.errors = options.errors;
    this.headers = options.headers ?? {};
  }

  toBody(requestId: string): ProblemDetails {
    const { status, code, detail, errors } = this;
    const title = STATUS_CODES[status] ?? 'Error';
    return { type: 'about:blank', title, status, detail, code, requestId, ...(errors && { errors }) };
  }
}

/** The answer to well-formed input with invalid values: 400 `VALIDATION_FAILED` with one entry for each wrong field. */
export const validationFailed = (...errors: readonly FieldError[]): Problem =>
  new Problem(400, 'VALIDATION_FAILED', 'The request is not valid; see errors', { errors });

/** What is wrong with a field or a parameter that the request can't have, perhaps because it is misspelt. */
export const unknownField = (field: string): FieldError => ({ field, message: 'this request has no such field' });

/** The answer to a method that this route lacks. `methods`: the methods that it has. */
export const methodNotAllowed = (methods: readonly string[]): Problem => {
  const allow = methods.join(', ');
  return new Problem(405, 'METHOD_NOT_ALLOWED', `This takes only ${allow}`, { headers: { Allow: allow } });
};

const LONGEST_PATH = 200;

/** Turns `['a', 'b', 0]` into `a.b[0]`. The caller determines the names and their number, so a long path is cut. */
export const fieldPath = (segments: readonly (string | number)[]): string => {
  const path = segments
    .map((segment, at) => (typeof segment === 'number' ? `[${segment}]` : at === 0 ? segment : `.${segment}`))
    .join('');
  return path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}…` : path;
};
