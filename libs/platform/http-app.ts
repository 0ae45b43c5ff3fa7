import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { constants } from 'node:os';
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
import { AllowedMethods } from './allowed-methods.js';
import { BeforeFastify } from './before-fastify.js';
import { CONFIGURATION, type Configuration } from './configuration.js';
import { Connections } from './connections.js';
import { healthDescription, ReadinessChecks, serveHealth } from './health.js';
import { acceptJsonBodies, MAX_BODY_BYTES } from './json-body.js';
import { listenError } from './listen-error.js';
import { LOGGER, type Logger, NestLogger } from './logging.js';
import { addressOf, createRegistry, metricsDescription, metricsServer, Registry, serveMetrics } from './metrics.js';
import { trustIn } from './network.js';
import { ApiDescription } from './openapi/api-description.js';
import { queryProblem } from './parameters.js';
import { methodNotAllowed } from './problem.js';
import { httpRefusal, ProblemFilter, sendProblem } from './problem-filter.js';
import { closeAll, type ProcessDependency } from './process-dependency.js';
import { hasBody } from './request-form.js';
import { requestIdOf } from './request-id.js';
import { requestObserver } from './request-observer.js';
import { StoreOutages } from './store-outages.js';
import { refuseOnSocket, refuseUnreadable } from './unreadable-request.js';
import { validationPipe } from './validation.js';

/** How long accepted requests may take to finish after the process was told to stop, in ms. */
const DRAIN_MS = 10_000;
/** How long the process listens after SIGTERM if `SHUTDOWN_GRACE_MS` is not set, in ms. */
const DEFAULT_GRACE_MS = 2_000;
/**
 * How soon after a signal the same one again belongs to it, in ms. `npm start` passes on a Ctrl-C that the terminal has
 * sent to this process, too.
 */
const SAME_SIGNAL_MS = 100;
/**
 * How long the head of a request may take to arrive, in ms; `REQUEST_TIMEOUT_MS` limits the whole request. Node
 * compares both with the clock every `TIMEOUT_CHECK_MS`.
 */
const HEAD_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 30_000;
const TIMEOUT_CHECK_MS = 5_000;
const KEEP_ALIVE_MS = 72_000;
/**
 * A consumer's headers reach us through a gateway. Our limit is above the gateways' own limits (nginx 32 KB, Envoy 60
 * KB).
 */
const MAX_HEADER_BYTES = 65_536;
const MAX_PATH_PARAMETER = 200;

/** Provides `CONFIGURATION`, `LOGGER`, `Registry`, `ReadinessChecks`, `StoreOutages`, `BeforeFastify` and `ApiDescription`. */
@Global()
@Module({})
class PlatformModule {}

/**
 * Creates an app's Nest application with everything that all apps have in common: Fastify, strict JSON, problem
 * details, request ids, logs, metrics and health. The application is initialised only by `listen()`, so the caller can
 * extend it before that call.
 */
export async function createHttpApplication(
  module: Type | DynamicModule,
  configuration: Configuration,
  logger: Logger,
  dependencies: readonly ProcessDependency[] = [],
  outages = new StoreOutages(logger),
): Promise<HttpApplication> {
  const registry = createRegistry();
  const readiness = new ReadinessChecks(logger, registry, outages);
  const observe = requestObserver(registry, logger);
  const connections = new Connections();
  const beforeFastify = new BeforeFastify(securityHeaders(configuration), observe);
  const description = new ApiDescription();
  description.add(healthDescription);
  if (configuration.metricsPort === undefined) description.add(metricsDescription);
  const providers = [
    { provide: CONFIGURATION, useValue: configuration },
    { provide: LOGGER, useValue: logger },
    { provide: Registry, useValue: registry },
    { provide: ReadinessChecks, useValue: readiness },
    { provide: StoreOutages, useValue: outages },
    { provide: BeforeFastify, useValue: beforeFastify },
    { provide: ApiDescription, useValue: description },
  ];
  const platform = { module: PlatformModule, imports: [module], providers, exports: providers.map((p) => p.provide) };
  const adapter = fastifyAdapter(configuration, logger, beforeFastify, (listener) =>
    connections.add(httpServer(beforeFastify.listener(listener))),
  );
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- Nest declares its options as a class
  const options: NestApplicationOptions = {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  };
  const nest = await NestFactory.create<NestFastifyApplication>(platform, adapter, options);
  nest.useGlobalFilters(new ProblemFilter());
  nest.useGlobalPipes(validationPipe());
  return new HttpApplication({
    nest,
    configuration,
    logger,
    registry,
    readiness,
    beforeFastify,
    connections,
    dependencies,
  });
}

const fastifyAdapter = (
  configuration: Configuration,
  logger: Logger,
  beforeFastify: BeforeFastify,
  serverFactory: (listener: RequestListener) => Server,
): FastifyAdapter =>
  new FastifyAdapter({
    loggerInstance: logger,
    // A child logger for each request would cost more than routing the request. Each log line contains the request's id
    // anyway.
    childLoggerFactory: (parent: FastifyBaseLogger) => parent,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: ({ rawHeaders }: IncomingMessage) => requestIdOf(rawHeaders),
    bodyLimit: MAX_BODY_BYTES,
    serverFactory,
    trustProxy: configuration.trustedProxies.length > 0 && trustIn(configuration.trustedProxies),
    routerOptions: { caseSensitive: true, ignoreTrailingSlash: false, maxParamLength: MAX_PATH_PARAMETER },
    // Requests that arrive on an open connection while the app stops are still served.
    return503OnClosing: false,
    // No module has Nest middleware, so Middie (which would run Nest middleware) is not needed.
    skipMiddie: true,
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      void reply.headers(securityHeaders(configuration)).header('x-request-id', request.id);
      sendProblem(error, request, reply);
    },
    clientErrorHandler: (error: ConnectionError, socket) => {
      refuseUnreadable(error, socket, beforeFastify);
    },
  });

function httpServer(listener: RequestListener): Server {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      // Node's default of 60 s would override our `requestTimeout`: Node limits the whole request by the longer of the
      // two times.
      headersTimeout: HEAD_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      // Node would answer a request without Host itself, and `/gateway/check` has answers of its own (`headProblem`).
      requireHostHeader: false,
    },
    listener,
  );
  // A server may ignore expectations that it doesn't know (RFC 9110 §10.1.1). Node would answer 417.
  server.on('checkExpectation', listener);
  // `CONNECT` asks for a tunnel, and so names no resource of ours. Node would close the connection without an answer.
  server.on('connect', (_request, socket) => {
    refuseOnSocket(httpRefusal(400), socket);
  });
  server.on('checkContinue', (request, response) => {
    if (hasBody(request.headers)) response.writeContinue();
    listener(request, response);
  });
  // By default, Node drops every header after the 2000th. We would not notice a repeated header among the dropped
  // headers.
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

/**
 * Keeps the connection open until the rest of the body has arrived. Fastify would close the connection at once. The
 * caller would then see a TCP reset, and might lose the answer (RFC 9112 §9.6).
 */
function readRestOfBody({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete || reply.getHeader('connection') !== 'close') return;
  reply.removeHeader('connection');
  raw.resume();
}

interface ApplicationParts {
  readonly nest: NestFastifyApplication;
  readonly configuration: Configuration;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly readiness: ReadinessChecks;
  readonly beforeFastify: BeforeFastify;
  readonly connections: Connections;
  readonly dependencies: readonly ProcessDependency[];
}

/** An app that was created, and can be started and stopped. */
export class HttpApplication {
  /** Gives access to what only Nest can do, such as `get()` of a provider or the setup of OpenAPI. */
  readonly nest: NestFastifyApplication;
  private readonly fastify: FastifyInstance;
  private metrics: Server | undefined;
  private closing: Promise<void> | undefined;
  private stopWatching: () => void = () => undefined;

  constructor(private readonly parts: ApplicationParts) {
    const { nest, registry, readiness, dependencies, beforeFastify, configuration } = parts;
    const { headers, observe } = beforeFastify;
    this.nest = nest;
    this.fastify = nest.getHttpAdapter().getInstance();
    acceptJsonBodies(this.fastify);
    const allowedMethods = new AllowedMethods(this.fastify);
    this.fastify.addHook('onRequest', (request, reply, done) => {
      reply.headers(headers).header('x-request-id', request.id);
      const { raw, url, is404 } = request;
      const allowed = is404 ? allowedMethods.of(url) : [];
      const wrongMethod = allowed.length > 0 ? methodNotAllowed(allowed) : undefined;
      done(beforeFastify.problemOf(raw) ?? wrongMethod ?? queryProblem(url));
    });
    this.fastify.addHook('onSend', (request, reply, _payload, done) => {
      readRestOfBody(request, reply);
      // Fastify would add `Connection: close` only when it closes.
      if (beforeFastify.isClosing && beforeFastify.endsConnection(request.raw))
        void reply.header('connection', 'close');
      done();
    });
    this.fastify.addHook('onResponse', (request, reply, done) => {
      const { id, method, is404, routeOptions, url: target, headers, facts } = request;
      const route = is404 ? 'unknown' : (routeOptions.url ?? 'unknown');
      const { statusCode: status, elapsedTime: milliseconds } = reply;
      observe({ id, method, route, status, milliseconds, target, traceparent: headers.traceparent, facts });
      done();
    });
    serveHealth(this.fastify, readiness);
    if (configuration.metricsPort === undefined) serveMetrics(this.fastify, registry);
    for (const dependency of dependencies) {
      readiness.add(dependency.name, () => dependency.check(), { isOfStore: dependency.isStore === true });
      dependency.addMetrics?.(registry);
    }
  }

  /**
   * Starts the modules, and then accepts requests. Returns the app's URL. Rejects if a module can't start, and with
   * `ConfigurationError` if a port can't be opened.
   */
  async listen(): Promise<string> {
    const { configuration, registry } = this.parts;
    const { host, port, metricsPort } = configuration;
    if (metricsPort !== undefined) {
      this.metrics = await metricsServer(registry, host, metricsPort).catch((error: unknown) => {
        throw listenError(error, 'METRICS_PORT', { host, port: metricsPort });
      });
    }
    await this.nest.listen(port, host).catch((error: unknown) => {
      throw listenError(error, 'PORT', { host, port });
    });
    return this.fastify.listeningOrigin;
  }

  /**
   * Resolves when all dependencies (the stores) are open. Rejects if a dependency can't be opened and waiting would not
   * help.
   */
  async opened(): Promise<void> {
    await Promise.all(this.parts.dependencies.map(({ opened }) => opened));
    if (!this.closing) this.stopWatching = this.parts.readiness.watch();
  }

  /** The URL of the metrics on `METRICS_PORT`. `undefined` if `METRICS_PORT` is not set, or before the app listens. */
  get metricsUrl(): string | undefined {
    return this.metrics && `http://${addressOf(this.metrics)}/metrics`;
  }

  /**
   * Stops the app. Further calls return the promise of the first call.
   *
   * 1. `/health/ready` answers 503, and each answer ends its connection.
   * 2. After `graceMs` (default 0), no new connections are accepted.
   * 3. Accepted requests may finish, for at most 10 s.
   * 4. Nest's shutdown hooks close the modules.
   * 5. The dependencies (the stores) are closed, the last one first.
   */
  close({ graceMs = 0 } = {}): Promise<void> {
    this.closing ??= this.drainAndClose(graceMs);
    return this.closing;
  }

  /**
   * On SIGTERM or SIGINT, calls `close()`. Then the process exits with 0, or with 1 if `close()` failed. A second
   * signal ends the process at once, with the exit code by which shells report that signal.
   */
  closeOnSignals(): void {
    let first: { readonly signal: NodeJS.Signals; readonly at: number } | undefined;
    const onSignal = (signal: 'SIGTERM' | 'SIGINT') => {
      const now = performance.now();
      if (!first) {
        first = { signal, at: now };
        const graceMs = this.graceMsOf(signal);
        this.parts.logger.info({ signal, graceMs }, 'stopping');
        this.closeAndExit(0, graceMs);
      } else if (signal !== first.signal || now - first.at > SAME_SIGNAL_MS) {
        process.exit(128 + constants.signals[signal]);
      }
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  }

  /** Nobody at a terminal wants to wait for load balancers, and before the app listens, none knows it. */
  private graceMsOf(signal: NodeJS.Signals): number {
    if (!this.fastify.server.listening) return 0;
    const isTerminal = signal === 'SIGINT' || process.stdin.isTTY || process.stdout.isTTY;
    return this.parts.configuration.shutdownGraceMs ?? (isTerminal ? 0 : DEFAULT_GRACE_MS);
  }

  /** When a dependency breaks, logs the reason, calls `close()`, and then exits with 1. */
  closeWhenBroken(): void {
    for (const { name, broken } of this.parts.dependencies) {
      broken?.catch((err: unknown) => {
        this.parts.logger.fatal({ err, dependency: name }, 'stopping, because a part of the process broke');
        this.closeAndExit(1);
      });
    }
  }

  private closeAndExit(code: number, graceMs = 0): void {
    this.close({ graceMs }).then(
      () => process.exit(code),
      (err: unknown) => {
        this.parts.logger.fatal({ err }, 'stopping failed');
        process.exit(1);
      },
    );
  }

  private async drainAndClose(graceMs: number): Promise<void> {
    const { readiness, beforeFastify, connections, logger, dependencies } = this.parts;
    readiness.turnRed();
    this.stopWatching();
    beforeFastify.beginToClose();
    const onLate = () => {
      logger.warn('requests did not finish in time; their connections are closed');
    };
    await connections.close({ graceMs, drainMs: DRAIN_MS, requests: beforeFastify, onLate });
    // We close Fastify before Nest. Nest alone would close its modules while requests still use them.
    await this.fastify.close();
    await this.nest.close();
    await closeAll(dependencies);
    this.metrics?.close();
    this.metrics?.closeAllConnections();
  }
}
