import type { IncomingHttpHeaders } from 'node:http';
import { Failure } from '#domain';
import { StreamIsQuarantined } from '#event-log';
import { addressIfRefused, type Logger, Problem, type RequestFacts } from '#platform';
import type { FastAnswer, Handler } from './fast-path.js';
import {
  invalidClient,
  invalidRequest,
  OAuthError,
  postOnly,
  temporarilyUnavailable,
  tooManyRequests,
} from './oauth-error.js';
import { formParameters, jsonParameters, type Parameters, printable } from './parameters.js';

/** The parameters of the OAuth endpoints need far fewer bytes than this limit. */
const MAX_BODY_BYTES = 8192;

/** A request to an OAuth endpoint, with parsed parameters. */
export interface OAuthRequest {
  readonly id: string;
  readonly path: string;
  /** The parameters in the body. If the request has no body, there are none. */
  readonly parameters: Parameters;
  readonly authorization: string | undefined;
  /** Returns the caller's address. Attempts with made-up credentials are counted by address. */
  readonly address: () => string;
  /** Headers that are sent with the answer, even if the answer is an error. The endpoint may add headers. */
  readonly answerHeaders: Record<string, string>;
  /** What the request's log line says besides. The endpoint adds facts as it finds them out. */
  readonly facts: RequestFacts;
}

interface OAuthHandlerParts {
  readonly logger: Logger;
  /** Number of refusals by reason. */
  readonly refusals: Record<string, number>;
}

/** Resolves to the answer's JSON text, or to `undefined` for an empty body. Rejects with `OAuthError` or a `Failure`. */
export type OAuthEndpoint = (request: OAuthRequest) => Promise<string | undefined>;

/** At the path of an OAuth endpoint, answers every method except `POST` with 405. */
export const refuseOtherMethods: Handler = ({ problem }) => {
  const error = problem ? asOAuthError(problem) : postOnly();
  return refusal(error, {}, { error: error.code });
};

/**
 * Makes an HTTP handler from an OAuth endpoint. The body is a form or JSON, and parameters in the URL are refused.
 * `names` are the parameters that the endpoint reads. Errors have the format of RFC 6749 §5.2, and caches must not store
 * the answers (§5.1). Counts the refusals.
 */
export const oauthHandler =
  (endpoint: OAuthEndpoint, names: readonly string[], { logger, refusals }: OAuthHandlerParts): Handler =>
  async (request) => {
    const answerHeaders: Record<string, string> = {};
    const facts: RequestFacts = {};
    try {
      const { id, target: path, headers, problem } = request;
      if (problem) throw problem;
      if (path.includes('?')) throw invalidRequest('Parameters belong in the body, not in the URL');
      const body = await request.body(MAX_BODY_BYTES);
      const parameters = body.length > 0 ? parserOf(headers)(body, names) : {};
      const address = () => request.address;
      const { authorization } = headers;
      const json = await endpoint({ id, path, parameters, authorization, address, answerHeaders, facts });
      return answerWith(200, answerHeaders, json, facts);
    } catch (error) {
      const known = asOAuthError(error);
      if (known.status === 500) logger.error({ requestId: request.id, err: error }, 'an OAuth request failed');
      const reason = reasonOf(error, known);
      refusals[reason] = (refusals[reason] ?? 0) + 1;
      const address = addressIfRefused(known.status, request.address);
      return refusal(known, answerHeaders, { ...facts, error: known.code, reason, ...address });
    }
  };

type BodyParser = (body: Buffer, names: readonly string[]) => Parameters;

const JSON_TYPE = /^application\/json\s*(?:;|$)/i;
const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(?:;|$)/i;

/** Returns how to parse a body with this content type. */
function parserOf({ 'content-type': contentType = '' }: IncomingHttpHeaders): BodyParser {
  if (FORM_TYPE.test(contentType)) return formParameters;
  if (JSON_TYPE.test(contentType)) return jsonParameters;
  throw new OAuthError(415, 'invalid_request', 'The body must be a form or JSON');
}

/** The answer for an error, in the format of RFC 6749 §5.2. */
const refusal = (error: OAuthError, answerHeaders: Readonly<Record<string, string>>, facts: RequestFacts): FastAnswer =>
  answerWith(
    error.status,
    { ...answerHeaders, ...error.headers },
    JSON.stringify({ error: error.code, error_description: error.message }),
    facts,
  );

const NOT_STORED = ['cache-control', 'no-store', 'pragma', 'no-cache'];
const NOT_STORED_JSON = [...NOT_STORED, 'content-type', 'application/json; charset=utf-8'];

function answerWith(
  status: number,
  answerHeaders: Readonly<Record<string, string>>,
  json: string | undefined,
  facts: RequestFacts,
): FastAnswer {
  const headers = json === undefined ? NOT_STORED.slice() : NOT_STORED_JSON.slice();
  for (const name in answerHeaders) headers.push(name, answerHeaders[name] ?? '');
  return json === undefined ? { status, headers, facts } : { status, headers, body: json, facts };
}

/**
 * Descriptions by error code, for failures that OAuth endpoints describe in other words than the management API does.
 */
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  clocks_apart: 'The clock of this node is wrong; try again',
  contention: 'The client is being changed; try again',
  log_restored: 'The event log can not be used now; try again later',
  log_sealed: 'The event log is being moved, or was; try again',
  log_unavailable: 'The event log can not be reached; try again',
  management_issuer_unavailable: 'The keys at MANAGEMENT_JWKS_URL are not to be had',
};

/**
 * Turns any error into an `OAuthError`. An error that is not meant for callers becomes a `server_error` without
 * details.
 */
function asOAuthError(error: unknown): OAuthError {
  if (error instanceof OAuthError) return error;
  // The client was quarantined after its state was read.
  if (error instanceof StreamIsQuarantined) return invalidClient();
  if (error instanceof Problem && (error.status === 413 || error.status === 415)) {
    return new OAuthError(error.status, 'invalid_request', error.detail);
  }
  if (error instanceof Problem) {
    const [wrong] = error.errors ?? [];
    return invalidRequest(wrong ? `${printable(wrong.field)} ${wrong.message}` : error.detail);
  }
  if (error instanceof Failure && error.kind === 'unavailable') {
    return temporarilyUnavailable(DESCRIPTIONS[error.code] ?? error.detail);
  }
  if (error instanceof Failure && error.kind === 'too_many') return tooManyRequests(error.detail, 60);
  return new OAuthError(500, 'server_error', 'Something went wrong on our side');
}

/** Why a request was refused: the reason of our own code if it gave one, and otherwise the code of the error. */
function reasonOf(error: unknown, { reason, code }: OAuthError): string {
  if (error instanceof StreamIsQuarantined) return 'QUARANTINED';
  return (reason ?? (error instanceof Failure || error instanceof Problem ? error.code : code)).toUpperCase();
}
