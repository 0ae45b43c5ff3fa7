import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { DescribedPart } from './openapi/api-description.js';
import { headersOf, NODE_REFUSALS, problemResponses } from './openapi/responses.js';

/**
 * Each process has one registry, and this class is its injection token. Every part of the process adds its own metrics
 * to the registry.
 */
export { Registry } from 'prom-client';

/** Creates a registry with the process's own metrics (CPU, memory, event loop, garbage collection). */
export const createRegistry = (): Registry => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
};

/** Serves `/metrics` in Prometheus's text format on the public port. */
export function serveMetrics(fastify: FastifyInstance, registry: Registry): void {
  fastify.get('/metrics', async (_request, reply) =>
    reply
      .header('cache-control', 'no-store')
      .type(registry.contentType)
      .send(await registry.metrics()),
  );
}

/** Describes the route of `serveMetrics`. */
export const metricsDescription: DescribedPart = {
  operations: [
    {
      path: '/metrics',
      method: 'get',
      operation: {
        operationId: 'getMetrics',
        tags: ['Health'],
        summary: 'Metrics in the text format of Prometheus; only here while METRICS_PORT is not set',
        security: [],
        responses: {
          200: {
            description: 'All metrics of this process',
            headers: headersOf('Cache-Control'),
            content: {
              'text/plain': {
                schema: { type: 'string' },
                examples: {
                  gauge: { value: '# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1764000000\n' },
                },
              },
            },
          },
          ...problemResponses([
            ...NODE_REFUSALS,
            'MALFORMED_REQUEST',
            'HEADER_REPEATED',
            'VALIDATION_FAILED',
            'METHOD_NOT_ALLOWED',
            'INTERNAL',
          ]),
        },
      },
    },
  ],
};

/** Serves `/metrics` on a separate port. Rejects if the port can't be opened. */
export async function metricsServer(registry: Registry, host: string, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  return server;
}

/** The address of a listening server, as `address:port`. */
export function addressOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
