import { type IncomingMessage, type RequestListener, type Server, createServer } from 'node:http';
import type { Socket } from 'node:net';
import { type DynamicModule, Global, Module, type NestApplicationOptions, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  type ConnectionError,
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { CLOCK, systemClock } from './clock.js';
import { CONFIGURATION, type Configuration } from './configuration.js';
import { FastPath } from './fast-path.js';
import { ReadinessChecks, serveHealth } from './health.js';
import { acceptJsonBodies, MAX_BODY_BYTES } from './json-body.js';
import { type Logger, LOGGER, NestLogger } from './logging.js';
import { addressOf, createRegistry, metricsServer, Registry, serveMetrics } from './metrics.js';
import { httpRefusal, ProblemFilter, sendProblem } from './problem-filter.js';
import type { ProcessDependency } from './process-dependency.js';
import { requestIdOf } from './request-id.js';
import { type RequestObserver, requestObserver } from './request-observer.js';
import { validationPipe } from './validation.js';

/** How long accepted requests may take to finish once the process was told to stop. */
const DRAIN_MS = 10_000;
const IDLE_CHECK_MS = 50;
/** Until a request's head, and the whole of it, must have arrived; Node looks every `TIMEOUT_CHECK_MS`. */
const HEAD_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 30_000;
const TIMEOUT_CHECK_MS = 5_000;
const KEEP_ALIVE_MS = 72_000;
/** More than gateways take from a consumer, and hand to the check (nginx 32 KB, Envoy 60 KB). */
const MAX_HEADER_BYTES = 65_536;
const MAX_PATH_PARAMETER = 200;

/** What every module may inject: `CONFIGURATION`, `LOGGER`, `CLOCK`, `Registry`, `ReadinessChecks`, `FastPath`. */
@Global()
@Module({})
class PlatformModule {}

/**
 * The Nest application that all apps are: Fastify, strict JSON, problem details, request ids, logs, metrics, health.
 * Not yet initialised, so that the caller may still add to it; `listen()` does that.
 */
export async function createHttpApplication(
  module: Type | DynamicModule,
  configuration: Configuration,
  logger: Logger,
  dependencies: readonly ProcessDependency[] = [],
): Promise<HttpApplication> {
  const registry = createRegistry();
  const readiness = new ReadinessChecks(logger);
  const observe = requestObserver(registry, logger);
  const { trustedProxies } = configuration;
  const fastPath = new FastPath({ headers: securityHeaders(configuration), trustedProxies, logger, observe });
  const providers = [
    { provide: CONFIGURATION, useValue: configuration },
    { provide: LOGGER, useValue: logger },
    { provide: CLOCK, useValue: systemClock },
    { provide: Registry, useValue: registry },
    { provide: ReadinessChecks, useValue: readiness },
    { provide: FastPath, useValue: fastPath },
  ];
  const platform = { module: PlatformModule, imports: [module], providers, exports: providers.map((p) => p.provide) };
  const adapter = fastifyAdapter(configuration, logger, fastPath);
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- Nest declares its options as a class
  const options: NestApplicationOptions = {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  };
  const nest = await NestFactory.create<NestFastifyApplication>(platform, adapter, options);
  nest.useGlobalFilters(new ProblemFilter());
  nest.useGlobalPipes(validationPipe());
  return new HttpApplication({ nest, configuration, logger, registry, readiness, fastPath, observe, dependencies });
}

const fastifyAdapter = (configuration: Configuration, logger: Logger, fastPath: FastPath): FastifyAdapter =>
  new FastifyAdapter({
    loggerInstance: logger,
    // One for each request would cost more than routing it; what is logged names its request itself.
    childLoggerFactory: (parent: FastifyBaseLogger) => parent,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: ({ rawHeaders }: IncomingMessage) => requestIdOf(rawHeaders),
    bodyLimit: MAX_BODY_BYTES,
    serverFactory: (listener: RequestListener) => httpServer(fastPath.before(listener)),
    trustProxy: configuration.trustedProxies.length > 0 && [...configuration.trustedProxies],
    routerOptions: { caseSensitive: true, ignoreTrailingSlash: false, maxParamLength: MAX_PATH_PARAMETER },
    // What arrives on an open connection while we drain is accepted, and so is finished.
    return503OnClosing: false,
    // No module uses Nest middleware.
    skipMiddie: true,
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      void reply.headers(securityHeaders(configuration)).header('x-request-id', request.id);
      sendProblem(error, request, reply);
    },
    clientErrorHandler: refuseUnreadable,
  });

function httpServer(listener: RequestListener): Server {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      // Absent it would be 60 s, and Node takes the longer of the two for the whole request.
      headersTimeout: HEAD_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
    listener,
  );
  // Node would leave out those after the 2000th: a repeated one among them would not be seen.
  server.maxHeadersCount = 0;
  return server;
}

const securityHeaders = (configuration: Configuration): Record<string, string> => ({
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  ...(configuration.publicUrl.startsWith('https:') && { 'strict-transport-security': 'max-age=31536000' }),
});

/** Fastify closes on a body that is still coming: a reset, to which the caller may lose the answer (RFC 9112 §9.6). */
function readRestOfBody({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete || reply.getHeader('connection') !== 'close') return;
  reply.removeHeader('connection');
  raw.resume();
}

/**
 * What Node could not read as HTTP has no request: the answer is written to the socket itself, which Node has let go
 * of by then, so that a caller who never closes would keep it open for ever.
 */
function refuseUnreadable(error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code] ?? 400;
  const { title, ...rest } = httpRefusal(status).toBody(requestIdOf([]));
  const body = JSON.stringify({ title, ...rest });
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

interface ApplicationParts {
  readonly nest: NestFastifyApplication;
  readonly configuration: Configuration;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly readiness: ReadinessChecks;
  readonly fastPath: FastPath;
  readonly observe: RequestObserver;
  readonly dependencies: readonly ProcessDependency[];
}

/** A running app. */
export class HttpApplication {
  /** For what only Nest can do, such as `get()` of a provider or setting up OpenAPI. */
  readonly nest: NestFastifyApplication;
  private readonly fastify: FastifyInstance;
  private metrics: Server | undefined;
  private closing: Promise<void> | undefined;
  private stopWatching: () => void = () => undefined;

  constructor(private readonly parts: ApplicationParts) {
    const { nest, configuration, registry, readiness, dependencies, observe } = parts;
    this.nest = nest;
    this.fastify = nest.getHttpAdapter().getInstance();
    acceptJsonBodies(this.fastify);
    const headers = securityHeaders(configuration);
    this.fastify.addHook('onRequest', (request, reply, done) => {
      reply.headers(headers).header('x-request-id', request.id);
      done();
    });
    this.fastify.addHook('onSend', (request, reply, _payload, done) => {
      readRestOfBody(request, reply);
      this.endConnectionWhenClosing(reply);
      done();
    });
    this.fastify.addHook('onResponse', ({ id, method, is404, routeOptions: { url } }, reply, done) => {
      const route = is404 ? 'unknown' : (url ?? 'unknown');
      observe({ id, method, route, status: reply.statusCode, milliseconds: reply.elapsedTime });
      done();
    });
    serveHealth(this.fastify, readiness);
    if (configuration.metricsPort === undefined) serveMetrics(this.fastify, registry);
    for (const dependency of dependencies) readiness.add(dependency.name, () => dependency.check());
  }

  /** Starts the modules, then accepts requests; answers the URL. Rejects when a module or a port fails. */
  async listen(): Promise<string> {
    const { configuration, registry } = this.parts;
    const { host, port, metricsPort } = configuration;
    if (metricsPort !== undefined) this.metrics = await metricsServer(registry, host, metricsPort);
    await this.nest.listen(port, host);
    return this.fastify.listeningOrigin;
  }

  /** Resolves when all that it stands on is open; rejects with what no waiting helps against. */
  async opened(): Promise<void> {
    await Promise.all(this.parts.dependencies.map(({ opened }) => opened));
    if (!this.closing) this.stopWatching = this.parts.readiness.watch();
  }

  /** Where `METRICS_PORT` serves the metrics, once the app listens. */
  get metricsUrl(): string | undefined {
    return this.metrics && `http://${addressOf(this.metrics)}/metrics`;
  }

  /**
   * Turns readiness red, accepts no more connections, finishes the requests that were accepted (for 10 s at most),
   * then closes the modules by Nest's shutdown hooks, then what they stood on. Once, however often it is called.
   */
  close(): Promise<void> {
    this.closing ??= this.drainAndClose();
    return this.closing;
  }

  /** On SIGTERM or SIGINT: `close()`, then exit with 0, or 1 when it failed. The same signal again kills. */
  closeOnSignals(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        this.parts.logger.info({ signal }, 'stopping');
        this.close().then(
          () => process.exit(0),
          (err: unknown) => {
            this.parts.logger.fatal({ err }, 'stopping failed');
            process.exit(1);
          },
        );
      });
    }
  }

  private async drainAndClose(): Promise<void> {
    const { readiness, fastPath, logger, dependencies } = this.parts;
    readiness.turnRed();
    this.stopWatching();
    fastPath.isClosing = true;
    const deadline = setTimeout(() => {
      logger.warn('requests did not finish in time; their connections are closed');
      this.fastify.server.closeAllConnections();
    }, DRAIN_MS);
    // Fastify closes once what is idle now; a request that was answered before its body came is still busy then.
    const idle = setInterval(() => {
      this.fastify.server.closeIdleConnections();
    }, IDLE_CHECK_MS);
    try {
      // Nest would close its modules first, under the requests that still use them.
      await this.fastify.close();
    } finally {
      clearTimeout(deadline);
      clearInterval(idle);
    }
    await this.nest.close();
    await Promise.all(dependencies.map((dependency) => dependency.close()));
    this.metrics?.close();
    this.metrics?.closeAllConnections();
  }

  /** An answered request must not keep its connection, and so the process, for the keep-alive time. */
  private endConnectionWhenClosing(reply: FastifyReply): void {
    if (this.closing) void reply.header('connection', 'close');
  }
}
