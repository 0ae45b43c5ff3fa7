import { Failure } from '#domain';
import type { Logger } from '#platform';
import type { FastAnswer, Handler } from '../http/fast-path.js';
import type { CheckAnswer, GatewayCheck } from './gateway-check.js';

interface GatewayParts {
  readonly check: Pick<GatewayCheck, 'check'>;
  readonly logger: Logger;
}

/**
 * Handles `/gateway/check`, by which gateways ask whether a call may pass (forward-auth). Any method is allowed, and
 * the body is ignored. The answer is always 200, 401, 403 or 503, because nginx turns every other status into 500.
 */
export const gatewayHandler =
  ({ check, logger }: GatewayParts): Handler =>
  (request) => {
    const unavailable = (err: unknown): FastAnswer => {
      const level = err instanceof Failure && err.kind === 'unavailable' ? 'debug' : 'error';
      logger[level]({ requestId: request.id, err }, 'a call could not be checked');
      return { status: 503, headers: ['cache-control', 'no-store', 'x-auth-code', 'UNAVAILABLE'] };
    };
    try {
      if (request.problem) return refusal(request.problem.code);
      const answer = check.check(request);
      return answer instanceof Promise ? answer.then(answerOf, unavailable) : answerOf(answer);
    } catch (err) {
      return unavailable(err);
    }
  };

function answerOf(answer: CheckAnswer): FastAnswer {
  if (answer.code === 'GOOD') {
    const { client, subscriptionId = '' } = answer;
    const headers = [
      ...['cache-control', 'no-store'],
      ...['x-auth-code', 'GOOD'],
      ...['x-consumer-client-id', client.clientId],
      ...['x-consumer-workspace-id', client.workspaceId],
      ...['x-consumer-subscription-id', subscriptionId],
    ];
    return { status: 200, headers };
  }
  return refusal(answer.code);
}

/** `code` is a `CheckRefusal`, or the code of a malformed head. */
function refusal(code: string): FastAnswer {
  const headers = ['cache-control', 'no-store', 'x-auth-code', code];
  // RFC 6750 §3: if a request has no token, the 401 says only that a token is needed.
  return code === 'NO_TOKEN'
    ? { status: 401, headers: [...headers, 'www-authenticate', 'Bearer realm="consumer-clients"'] }
    : { status: 403, headers };
}
