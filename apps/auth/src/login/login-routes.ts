import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { VerificationBusy } from '#credentials';
import { LogIsSealed, LogUnavailable } from '#event-log';
import { Problem } from '#platform';
import { OAuthError, invalidRequest, temporarilyUnavailable } from '../oauth-error.js';
import { formParameters, jsonParameters } from './login-body.js';
import type { Login } from './login.js';
import { type Parameters, loginRequest } from './login-request.js';

/** An API key and a draft-free form fit in a fraction of it. */
const MAX_LOGIN_BYTES = 8192;

/**
 * `POST /login` and `POST /{endpointUri}/login`, as plain Fastify routes: they are the hot path, and speak OAuth's
 * formats instead of the management API's.
 */
export function loginRoutes(fastify: FastifyInstance, login: Login): void {
  // Not awaited: that would boot Fastify before Nest has set its error handler.
  void fastify.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    const options = { parseAs: 'buffer', bodyLimit: MAX_LOGIN_BYTES } as const;
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
    scope.setErrorHandler(sendOAuthError);
    const handler = (request: LoginHttpRequest, reply: FastifyReply) => answerLogin(login, request, reply);
    scope.post('/login', handler);
    scope.post('/:endpointUri/login', handler);
    done();
  });
}

type LoginHttpRequest = FastifyRequest<{ Params: { endpointUri?: string }; Body: Parameters | undefined }>;

async function answerLogin(login: Login, request: LoginHttpRequest, reply: FastifyReply): Promise<FastifyReply> {
  const parameters = request.body ?? {};
  if (request.url.includes('?')) throw invalidRequest('Parameters belong in the body, not in the URL');
  const who = loginRequest(parameters, request.headers.authorization);
  const { token, expiresIn } = await login.login(who, request.params.endpointUri, request.id);
  return reply
    .header('cache-control', 'no-store')
    .send({ access_token: token, token_type: 'Bearer', expires_in: expiresIn });
}

/** RFC 6749 §5.2, whatever went wrong. What was not foreseen is logged, and says nothing outward. */
function sendOAuthError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { status, code, message, headers } = asOAuthError(error);
  if (status === 500) request.log.error({ err: error }, 'login failed');
  void reply
    .status(status)
    .headers({ 'cache-control': 'no-store', ...headers })
    .send({ error: code, error_description: message });
}

function asOAuthError(error: FastifyError): OAuthError {
  if (error instanceof OAuthError) return error;
  if (error instanceof Problem) return invalidRequest(error.errors?.[0]?.message ?? error.detail);
  if (error instanceof VerificationBusy) return temporarilyUnavailable('Too many logins of this kind; try again');
  if (error instanceof LogIsSealed) return temporarilyUnavailable('The event log is being moved, or was; try again');
  if (error instanceof LogUnavailable) return temporarilyUnavailable('The event log can not be reached; try again');
  if (error.statusCode === 413) return new OAuthError(413, 'invalid_request', 'The body is too large');
  if (error.statusCode === 415) return new OAuthError(415, 'invalid_request', 'The body must be a form or JSON');
  if (error.statusCode === 400) return invalidRequest('The request is malformed');
  return new OAuthError(500, 'server_error', 'Something went wrong on our side');
}
