import { LogUnavailable } from '#event-log';
import type { FastAnswer, FastRoute, Logger } from '#platform';
import { CHECK_PATH } from './called-endpoint.js';
import type { CheckAnswer, GatewayCheck } from './gateway-check.js';

/**
 * `/gateway/check`: forward-auth for gateways, by any method. 200, 401, 403 or 503: nginx makes 500 of all others. The
 * body is not looked at: there is nothing in it that could matter.
 */
export const gatewayRoute = (check: Pick<GatewayCheck, 'check'>, logger: Logger): FastRoute => ({
  pattern: CHECK_PATH,
  // What may follow is a consumer's own path: no router decodes or refuses it.
  matches: (path) => path === CHECK_PATH || path.startsWith(`${CHECK_PATH}/`),
  answer: (request) => {
    const unavailable = (err: unknown): FastAnswer => {
      const level = err instanceof LogUnavailable ? 'debug' : 'error';
      logger[level]({ requestId: request.id, err }, 'a call could not be checked');
      return { status: 503, headers: ['cache-control', 'no-store', 'x-auth-code', 'UNAVAILABLE'] };
    };
    try {
      const answer = check.check(request);
      return answer instanceof Promise ? answer.then(answerOf, unavailable) : answerOf(answer);
    } catch (err) {
      return unavailable(err);
    }
  },
});

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
  const headers = ['cache-control', 'no-store', 'x-auth-code', answer.code];
  // RFC 6750 §3: who sent no token learns no more than that one is needed.
  return answer.code === 'NO_TOKEN'
    ? { status: 401, headers: [...headers, 'www-authenticate', 'Bearer realm="consumer-clients"'] }
    : { status: 403, headers };
}
