import { Failure } from '#domain';
import type { Logger, RequestFacts, UnreadableHandler } from '#platform';
import type { FastAnswer, Handler } from '../http/fast-path.js';
import type { CheckAnswer, CheckRefusal, GatewayCheck } from './gateway-check.js';
import { CHECK_PATH, type GatewaySettings } from './gateway-request.js';

interface GatewayParts {
  readonly refusals: GatewaySettings['refusals'];
  readonly check: Pick<GatewayCheck, 'check'>;
  readonly logger: Logger;
  /** Number of answers by `X-Auth-Code`. */
  readonly counts: Record<string, number>;
}

/**
 * Handles `/gateway/check`, by which gateways ask whether a call may pass (forward-auth). Any method is allowed, and
 * the body is ignored. The answer is always 200, 401, 403 or 503, because nginx turns every other status into 500.
 */
export const gatewayHandler =
  ({ check, logger, refusals, counts }: GatewayParts): Handler =>
  (request) => {
    const unavailable = (err: unknown): FastAnswer => {
      const level = err instanceof Failure && err.kind === 'unavailable' ? 'debug' : 'error';
      logger[level]({ requestId: request.id, err }, 'a call could not be checked');
      const headers = ['cache-control', 'no-store', 'retry-after', '1', 'x-auth-code', 'UNAVAILABLE'];
      counts.UNAVAILABLE = (counts.UNAVAILABLE ?? 0) + 1;
      return { status: 503, headers, facts: { authCode: 'UNAVAILABLE' } };
    };
    try {
      if (request.problem) {
        const { code } = request.problem;
        counts[code] = (counts[code] ?? 0) + 1;
        return forbidden({ authCode: code });
      }
      const answer = check.check(request);
      if (!(answer instanceof Promise)) return answerOf(answer, refusals, counts);
      return answer.then((found) => answerOf(found, refusals, counts), unavailable);
    } catch (err) {
      return unavailable(err);
    }
  };

/** Refuses checks that can't be parsed as HTTP with 403, as `gatewayHandler` refuses all other ill-formed ones. */
export const unreadableCheck =
  (counts: Record<string, number>): UnreadableHandler =>
  (target, { code }) => {
    const [path = ''] = target.split('?', 1);
    if (path !== CHECK_PATH && !path.startsWith(`${CHECK_PATH}/`)) return undefined;
    counts[code] = (counts[code] ?? 0) + 1;
    return forbidden({ authCode: code });
  };

function answerOf(
  answer: CheckAnswer,
  refusals: GatewaySettings['refusals'],
  counts: GatewayParts['counts'],
): FastAnswer {
  const { code: authCode, endpoint } = answer;
  counts[authCode] = (counts[authCode] ?? 0) + 1;
  if (answer.code === 'GOOD') {
    const { client, subscriptionId } = answer;
    const { clientId, workspaceId } = client;
    const headers = [
      ...['cache-control', 'no-store'],
      ...['x-auth-code', 'GOOD'],
      ...['x-consumer-client-id', clientId],
      ...['x-consumer-workspace-id', workspaceId],
      ...['x-consumer-subscription-id', subscriptionId ?? ''],
    ];
    return { status: 200, headers, facts: { workspaceId, clientId, subscriptionId, endpoint, authCode } };
  }
  const facts = { workspaceId: answer.workspaceId, clientId: answer.clientId, endpoint, authCode };
  // RFC 6750 §3: if a request has no token, the 401 says only that a token is needed.
  if (answer.code === 'NO_TOKEN') return unauthorized(facts, 'Bearer realm="consumer-clients"');
  const error = refusals === 'rfc6750' ? RFC6750_ERRORS[answer.code] : undefined;
  if (error === 'invalid_token') return unauthorized(facts, 'Bearer error="invalid_token"');
  const challenge = error === undefined ? [] : ['www-authenticate', `Bearer error="${error}"`];
  return forbidden(facts, challenge);
}

/**
 * The error codes of RFC 6750 §3.1. A client that gets a new token after `invalid_token` may succeed; after
 * `insufficient_scope` it needs an assignment. The other refusals don't concern the token.
 */
const RFC6750_ERRORS: Partial<Record<CheckRefusal, 'invalid_token' | 'insufficient_scope'>> = {
  NOT_A_TOKEN: 'invalid_token',
  EXPIRED: 'invalid_token',
  NOT_YET_VALID: 'invalid_token',
  OTHER_ISSUER: 'invalid_token',
  OTHER_AUDIENCE: 'invalid_token',
  SIGNING_KEY_COMPROMISED: 'invalid_token',
  CLIENT_NOT_ACTIVE: 'invalid_token',
  GENERATION_ENDED: 'invalid_token',
  TOKEN_REVOKED: 'invalid_token',
  OTHER_SUBSCRIPTION: 'insufficient_scope',
  NOT_ASSIGNED: 'insufficient_scope',
  SUBSCRIPTION_NOT_LIVE: 'insufficient_scope',
};

/** The facts of a refusal. */
type RefusalFacts = RequestFacts & { readonly authCode: string };

const unauthorized = (facts: RefusalFacts, challenge: string): FastAnswer => ({
  status: 401,
  headers: ['cache-control', 'no-store', 'x-auth-code', facts.authCode, 'www-authenticate', challenge],
  facts,
});

const forbidden = (facts: RefusalFacts, challenge: readonly string[] = []): FastAnswer => ({
  status: 403,
  headers: ['cache-control', 'no-store', 'x-auth-code', facts.authCode, ...challenge],
  facts,
});
