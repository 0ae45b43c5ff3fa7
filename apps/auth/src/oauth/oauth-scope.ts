import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { VerificationBusy } from '#credentials';
import { LogIsSealed, LogUnavailable, RevisionConflict } from '#event-log';
import { Problem } from '#platform';
import { ManagementIssuerUnavailable, SigningKeyUnusable } from '#tokens';
import { OAuthError, invalidRequest, temporarilyUnavailable } from './oauth-error.js';
import { type Parameters, formParameters, jsonParameters } from './parameters.js';

/** All that these endpoints take fits in a fraction of it. */
const MAX_BODY_BYTES = 8192;

/** A request in the scope: `body` is absent where none was sent. */
export type OAuthHttpRequest<Params = unknown> = FastifyRequest<{ Params: Params; Body: Parameters | undefined }>;

/**
 * Adds `routes` as plain Fastify ones that speak OAuth's formats instead of the management API's: forms and JSON in,
 * RFC 6749 §5.2 errors out, nothing stored on the way (§5.1), nothing in the URL.
 */
export function oauthScope(fastify: FastifyInstance, routes: (scope: FastifyInstance) => void): void {
  // Not awaited: that would boot Fastify before Nest has set its error handler.
  void fastify.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    const options = { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES } as const;
    scope.addContentTypeParser<Buffer>(/^application\/json\s*(?:;|$)/i, options, (_request, body, parsed) => {
      parsed(null, jsonParameters(body));
    });
    scope.addContentTypeParser<Buffer>(
      /^application\/x-www-form-urlencoded\s*(?:;|$)/i,
      options,
      (_request, body, parsed) => {
        parsed(null, formParameters(body));
      },
    );
    scope.addHook('onRequest', (request, reply, next) => {
      void reply.header('cache-control', 'no-store').header('pragma', 'no-cache');
      next(misplaced(request));
    });
    scope.setErrorHandler(sendOAuthError);
    routes(scope);
    done();
  });
}

function misplaced(request: FastifyRequest): OAuthError | undefined {
  if (request.url.includes('?')) return invalidRequest('Parameters belong in the body, not in the URL');
  // Node keeps the first of several Authorization headers and drops the others in silence.
  const times = request.raw.rawHeaders.filter(
    (name, i) => i % 2 === 0 && name.toLowerCase() === 'authorization',
  ).length;
  return times > 1 ? invalidRequest('Authorization must not be given twice') : undefined;
}

/** RFC 6749 §5.2, whatever went wrong. What was not foreseen is logged, and says nothing outward. */
function sendOAuthError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { status, code, message, headers } = asOAuthError(error);
  if (status === 500) request.log.error({ err: error }, 'an OAuth request failed');
  void reply.status(status).headers(headers).send({ error: code, error_description: message });
}

function asOAuthError(error: FastifyError): OAuthError {
  if (error instanceof OAuthError) return error;
  if (error instanceof Problem) return invalidRequest(error.errors?.[0]?.message ?? error.detail);
  if (error instanceof VerificationBusy) return temporarilyUnavailable('Too many logins of this kind; try again');
  if (error instanceof LogIsSealed) return temporarilyUnavailable('The event log is being moved, or was; try again');
  if (error instanceof LogUnavailable) return temporarilyUnavailable('The event log can not be reached; try again');
  if (error instanceof RevisionConflict) return temporarilyUnavailable('The client is being changed; try again');
  if (error instanceof SigningKeyUnusable) return temporarilyUnavailable('The signing keys are changing; try again');
  if (error instanceof ManagementIssuerUnavailable) return temporarilyUnavailable(error.message);
  if (error.statusCode === 413) return new OAuthError(413, 'invalid_request', 'The body is too large');
  if (error.statusCode === 415) return new OAuthError(415, 'invalid_request', 'The body must be a form or JSON');
  if (error.statusCode === 400) return invalidRequest('The request is malformed');
  return new OAuthError(500, 'server_error', 'Something went wrong on our side');
}
