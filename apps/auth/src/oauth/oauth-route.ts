import type { IncomingHttpHeaders } from 'node:http';
import { VerificationBusy } from '#credentials';
import { ClockApart, LogIsSealed, LogUnavailable, RevisionConflict } from '#event-log';
import { type FastAnswer, type FastRequest, type FastRoute, type Logger, Problem } from '#platform';
import { ManagementIssuerUnavailable, SigningKeyUnusable } from '#tokens';
import { OAuthError, invalidRequest, temporarilyUnavailable } from './oauth-error.js';
import { type Parameters, formParameters, jsonParameters } from './parameters.js';

/** All that these endpoints take fits in a fraction of it. */
const MAX_BODY_BYTES = 8192;

/** A request to an OAuth endpoint, its body taken apart. */
export interface OAuthRequest {
  readonly id: string;
  readonly path: string;
  /** None where no body was sent. */
  readonly parameters: Parameters;
  readonly authorization: string | undefined;
  /** The caller's, for counting. */
  readonly address: () => string;
  /** Headers of the answer, whatever it will be; the endpoint may add some. */
  readonly answerHeaders: Record<string, string>;
}

export interface OAuthEndpoint extends Pick<FastRoute, 'pattern' | 'matches'> {
  /** The answer's JSON, where it has any. Throws `OAuthError`, and what may happen to the log. */
  answer(request: OAuthRequest): Promise<object | undefined>;
}

/**
 * An endpoint that speaks OAuth's formats instead of the management API's: by POST, forms and JSON in, RFC 6749 §5.2
 * errors out, nothing stored on the way (§5.1), nothing in the URL.
 */
export const oauthRoute = (endpoint: OAuthEndpoint, logger: Logger): FastRoute => ({
  pattern: endpoint.pattern,
  matches: (path) => endpoint.matches(path),
  answer: async (request) => {
    const headers: Record<string, string> = {};
    try {
      return answerWith(200, headers, await endpoint.answer(await oauthRequest(request, headers)));
    } catch (error) {
      return refusal(error, request, headers, logger);
    }
  },
});

async function oauthRequest(request: FastRequest, answerHeaders: Record<string, string>): Promise<OAuthRequest> {
  const { id, method, target, headers } = request;
  if (method !== 'POST') throw new OAuthError(405, 'invalid_request', 'This takes POST only', { allow: 'POST' });
  if (target.includes('?')) throw invalidRequest('Parameters belong in the body, not in the URL');
  const { authorization } = headers;
  if (authorization !== undefined && isRepeated('authorization', request.rawHeaders)) {
    throw invalidRequest('Authorization must not be given twice');
  }
  const parameters = hasBody(headers) ? parserOf(headers['content-type'])(await request.body(MAX_BODY_BYTES)) : {};
  return { id, path: target, parameters, authorization, address: () => request.address, answerHeaders };
}

/** RFC 9112 §6.3. */
const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** Node keeps the first of several such headers, and drops the others in silence. */
function isRepeated(name: string, rawHeaders: readonly string[]): boolean {
  let times = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === name) times += 1;
  return times > 1;
}

const JSON_TYPE = /^application\/json\s*(?:;|$)/i;
const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(?:;|$)/i;

function parserOf(contentType = ''): (body: Buffer) => Parameters {
  if (FORM_TYPE.test(contentType)) return formParameters;
  if (JSON_TYPE.test(contentType)) return jsonParameters;
  throw new OAuthError(415, 'invalid_request', 'The body must be a form or JSON');
}

/** RFC 6749 §5.2, whatever went wrong. What was not foreseen is logged, and says nothing outward. */
function refusal(
  error: unknown,
  request: FastRequest,
  answerHeaders: Readonly<Record<string, string>>,
  logger: Logger,
): FastAnswer {
  const { status, code, message, headers } = asOAuthError(error);
  if (status === 500) logger.error({ requestId: request.id, err: error }, 'an OAuth request failed');
  return answerWith(status, { ...answerHeaders, ...headers }, { error: code, error_description: message });
}

const NOT_STORED = ['cache-control', 'no-store', 'pragma', 'no-cache'];
const NOT_STORED_JSON = [...NOT_STORED, 'content-type', 'application/json; charset=utf-8'];

const answerWith = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: object | undefined,
): FastAnswer => ({
  status,
  headers: [...(body ? NOT_STORED_JSON : NOT_STORED), ...Object.entries(headers).flat()],
  ...(body && { body: JSON.stringify(body) }),
});

function asOAuthError(error: unknown): OAuthError {
  if (error instanceof OAuthError) return error;
  if (error instanceof Problem && error.status === 413) {
    return new OAuthError(413, 'invalid_request', 'The body is too large');
  }
  if (error instanceof Problem) return invalidRequest(error.errors?.[0]?.message ?? error.detail);
  if (error instanceof VerificationBusy) return temporarilyUnavailable('Too many logins of this kind; try again');
  if (error instanceof LogIsSealed) return temporarilyUnavailable('The event log is being moved, or was; try again');
  if (error instanceof ClockApart) return temporarilyUnavailable('The clock of this node is wrong; try again');
  if (error instanceof LogUnavailable) return temporarilyUnavailable('The event log can not be reached; try again');
  if (error instanceof RevisionConflict) return temporarilyUnavailable('The client is being changed; try again');
  if (error instanceof SigningKeyUnusable) return temporarilyUnavailable('The signing keys are changing; try again');
  if (error instanceof ManagementIssuerUnavailable) return temporarilyUnavailable(error.message);
  return new OAuthError(500, 'server_error', 'Something went wrong on our side');
}
