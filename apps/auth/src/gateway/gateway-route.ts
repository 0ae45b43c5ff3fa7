import { METHODS } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CHECK_PATH } from './called-endpoint.js';
import type { CheckAnswer, GatewayCheck } from './gateway-check.js';

/** `/gateway/check`: forward-auth for gateways, by any method. 200, 401, 403 or 503: nginx makes 500 of all others. */
export function gatewayRoute(fastify: FastifyInstance, check: GatewayCheck): void {
  const methods = METHODS.filter((method) => method !== 'CONNECT');
  const isKnown = new Set(fastify.supportedMethods);
  for (const method of methods) if (!isKnown.has(method)) fastify.addHttpMethod(method, { hasBody: true });
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    void reply.header('cache-control', 'no-store');
    try {
      const url = request.originalUrl;
      return await send(reply, await check.check({ rawHeaders: request.raw.rawHeaders, url }));
    } catch (err) {
      request.log.warn({ err }, 'a call could not be checked');
      return reply.code(503).header('x-auth-code', 'UNAVAILABLE').send();
    }
  };
  // Before the body is looked at: there is nothing in it that could matter.
  fastify.route({ method: methods, url: CHECK_PATH, exposeHeadRoute: false, onRequest: answer, handler: answer });
}

function send(reply: FastifyReply, answer: CheckAnswer): FastifyReply {
  void reply.header('x-auth-code', answer.code);
  if (answer.code === 'GOOD') {
    return reply
      .header('x-consumer-client-id', answer.client.clientId)
      .header('x-consumer-workspace-id', answer.client.workspaceId)
      .header('x-consumer-subscription-id', answer.subscriptionId ?? '')
      .send();
  }
  // RFC 6750 §3: who sent no token learns no more than that one is needed.
  if (answer.code === 'NO_TOKEN') {
    return reply.code(401).header('www-authenticate', 'Bearer realm="consumer-clients"').send();
  }
  return reply.code(403).send();
}
