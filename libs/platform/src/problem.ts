import { STATUS_CODES } from 'node:http';

/** What is wrong with one field of the input: `a.b[0]` for nested ones. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** RFC 9457 `application/problem+json`; `code` is stable and what callers branch on. */
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
  /** Sent with the answer, e.g. `Retry-After`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Logged, never sent. */
  readonly cause?: unknown;
}

/** An answer that refuses: HTTP status, stable UPPER_SNAKE code, and a detail that is safe to show. */
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

/** The answer to input that is well-formed but not acceptable: 400 `VALIDATION_FAILED`, naming each field. */
export const validationFailed = (...errors: readonly FieldError[]): Problem =>
  new Problem(400, 'VALIDATION_FAILED', 'The request is not valid; see errors', { errors });

const LONGEST_PATH = 200;

/** `['a', 'b', 0]` → `a.b[0]`; what a caller made endless is cut. */
export const fieldPath = (segments: readonly (string | number)[]): string => {
  const path = segments
    .map((segment, at) => (typeof segment === 'number' ? `[${segment}]` : at === 0 ? segment : `.${segment}`))
    .join('');
  return path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}…` : path;
};
