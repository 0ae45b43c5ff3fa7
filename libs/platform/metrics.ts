import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, type Gauge, Registry } from 'prom-client';
import type { DescribedPart } from './openapi/api-description.js';
import { headersOf, PLAIN_ROUTE_REFUSALS, problemResponses } from './openapi/responses.js';

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

/** One value of a metric. Each label MUST have few different values. */
export interface Reading {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric whose values are read when they are asked for, so that a request only increments a number. */
class Readings {
  readonly aggregator = 'sum';
  readonly sources: (() => readonly Reading[])[] = [];

  constructor(
    readonly type: 'counter' | 'gauge',
    readonly name: string,
    readonly help: string,
  ) {}

  get() {
    const { name, help, type, aggregator } = this;
    return Promise.resolve({ name, help, type, aggregator, values: this.sources.flatMap((read) => read()) });
  }
}

/** Adds values to a metric. Several parts of a process may add values with different labels to the same metric. */
export function addReadings(
  registry: Registry,
  { type, name, help }: Pick<Readings, 'type' | 'name' | 'help'>,
  read: () => readonly Reading[],
): void {
  let readings = registry.getSingleMetric(name) as unknown as Readings | undefined;
  if (!readings) {
    readings = new Readings(type, name, help);
    // The registry calls only `get`, although its type asks for one of the library's own classes.
    registry.registerMetric(readings as unknown as Gauge);
  }
  readings.sources.push(read);
}

/** Adds how many tasks of a queue run and wait now, and how many it has refused because it was full. */
export function addQueueMetrics(
  registry: Registry,
  name: string,
  queue: string,
  load: () => { readonly running: number; readonly waiting: number; readonly refused: number },
): void {
  const add = (type: Readings['type'], suffix: keyof ReturnType<typeof load>, help: string) => {
    const metric = { type, name: `${name}_${suffix}${type === 'counter' ? '_total' : ''}`, help };
    addReadings(registry, metric, () => [{ labels: { queue }, value: load()[suffix] }]);
  };
  add('gauge', 'running', 'Tasks of the queue that run now');
  add('gauge', 'waiting', 'Tasks of the queue that wait for their turn');
  add('counter', 'refused', 'Tasks that were refused because the queue was full');
}

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
          ...problemResponses(PLAIN_ROUTE_REFUSALS),
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
