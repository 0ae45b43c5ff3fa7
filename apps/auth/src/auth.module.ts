import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Gauge } from 'prom-client';
import type { OutageObserver } from '#event-log';
import {
  addQueueMetrics,
  addReadings,
  BeforeFastify,
  CONFIGURATION,
  type Configuration,
  LOGGER,
  type Logger,
  observerOfStores,
  type OutageNotes,
  RATE_LIMITED,
  ReadinessChecks,
  Registry,
  StoreOutages,
} from '#platform';
import { ApiDescription } from '#platform/openapi';
import type { AuthDependencies } from './dependencies.js';
import { ClientDirectory } from './gateway/client-directory.js';
import { GatewayCheck } from './gateway/gateway-check.js';
import { unreadableCheck } from './gateway/gateway-route.js';
import { AuthenticationLimits } from './http/authentication-limits.js';
import { FastPath } from './http/fast-path.js';
import { type AnswerCounts, authRoutes } from './http/routes.js';
import { ClientAuthentication } from './login/client-authentication.js';
import { Login } from './login/login.js';
import { UnrecordedUsage } from './login/unrecorded-usage.js';
import { UsageRecorder } from './login/usage-recorder.js';
import { Introspection } from './tokens/introspection.js';
import { Revocation } from './tokens/revocation.js';
import { SigningKeySchedule } from './tokens/signing-key-schedule.js';
import { TokenStanding } from './tokens/token-standing.js';

/** Work that runs in the background, independent of requests, from the start of the process to its stop. */
interface BackgroundWork {
  start(): void;
  stop(): Promise<void>;
}

/** The Nest injection token of the list of all `BackgroundWork` in this module. */
const BACKGROUND_WORK = Symbol('BackgroundWork');

/** The API that consumers and gateways use. All routes of this module are answered before Fastify sees the request. */
@Module({})
export class AuthModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  static with(dependencies: AuthDependencies): DynamicModule {
    const wired = {
      provide: BACKGROUND_WORK,
      inject: [CONFIGURATION, LOGGER, Registry, ReadinessChecks, StoreOutages, BeforeFastify, ApiDescription],
      useFactory: (...platform: Platform) => wire(dependencies, platform),
    };
    return { module: AuthModule, providers: [wired] };
  }

  constructor(@Inject(BACKGROUND_WORK) private readonly work: readonly BackgroundWork[]) {}

  onApplicationBootstrap(): void {
    for (const each of this.work) each.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.work.map((each) => each.stop()));
  }
}

/** The providers of the platform module that this module needs. */
type Platform = [Configuration, Logger, Registry, ReadinessChecks, StoreOutages, BeforeFastify, ApiDescription];

/** Builds the parts of this module and adds its routes. Each part uses only parts that were built before. */
function wire(
  dependencies: AuthDependencies,
  [configuration, logger, registry, readiness, outages, beforeFastify, description]: Platform,
): BackgroundWork[] {
  const { opened, gateway } = dependencies;

  const attempts = new UnrecordedUsage();
  const usage = new UsageRecorder(dependencies, attempts, logger, outages);
  const signingKeys = new SigningKeySchedule(dependencies, logger, readiness);

  const limits = new AuthenticationLimits(configuration);
  const authentication = new ClientAuthentication(dependencies, limits, attempts);
  const login = new Login(dependencies, attempts);

  const standing = new TokenStanding(dependencies);
  const introspection = new Introspection(dependencies, standing);
  const revocation = new Revocation(dependencies, standing);

  const directory = new ClientDirectory({
    book: () => dependencies.book,
    maxLagMs: gateway.maxLagMs,
    observer: directoryOutages(logger, outages),
  });
  measureLag(directory, registry);
  const check = new GatewayCheck(dependencies, standing, directory, attempts);

  const counts: AnswerCounts = { checks: {}, refusals: {} };
  addCounts(counts, registry);
  addReadings(registry, RATE_LIMITED, () => limits.refusals);
  const { verifier } = dependencies;
  addQueueMetrics(registry, 'argon2', 'verifying', () => verifier.load);

  const parts = { dependencies, logger, limits, authentication, login, introspection, revocation, check, counts };
  const { trustedProxies } = configuration;
  const { routes, descriptions } = authRoutes(parts);
  for (const part of descriptions) description.add(part);
  const fastPath = new FastPath({ routes, platform: beforeFastify, trustedProxies, logger });
  beforeFastify.add(fastPath.handle);
  beforeFastify.addUnreadable(unreadableCheck(counts.checks));

  return [followLog(directory, opened), signingKeys, usage];
}

const directoryOutages = (logger: Logger, outages: OutageNotes): OutageObserver =>
  observerOfStores(outages, {
    outageBegan: (err) => {
      logger.warn({ err }, 'the client directory lost the log; each gateway check reads it');
    },
    outageEnded: () => {
      logger.info('the client directory follows the log again');
    },
  });

const measureLag = (directory: ClientDirectory, registry: Registry): Gauge =>
  new Gauge({
    name: 'gateway_directory_lag_seconds',
    help: 'Age of the newest marker of the log that came back to the client directory; it grows while no check is served',
    registers: [registry],
    collect() {
      this.set(directory.lagMs() / 1000);
    },
  });

/** Adds the counts of refused logins and of gateway checks to the metrics. */
function addCounts({ checks, refusals }: AnswerCounts, registry: Registry): void {
  const checked = {
    type: 'counter',
    name: 'gateway_checks_total',
    help: 'Answers to gateway checks, by X-Auth-Code',
  } as const;
  addReadings(registry, checked, () => Object.entries(checks).map(([code, value]) => ({ labels: { code }, value })));
  const refused = {
    type: 'counter',
    name: 'oauth_refusals_total',
    help: 'Refused logins, introspections and revocations, by route and reason',
  } as const;
  addReadings(registry, refused, () =>
    Object.entries(refusals).flatMap(([route, byReason]) =>
      Object.entries(byReason).map(([reason, value]) => ({ labels: { route, reason }, value })),
    ),
  );
}

/** Makes the directory follow the event log as soon as the log is open. */
function followLog(directory: ClientDirectory, opened: Promise<unknown>): BackgroundWork {
  const stopping = new AbortController();
  let following: Promise<void> | undefined;
  const follow = () => {
    if (!stopping.signal.aborted) following = directory.run(stopping.signal);
  };
  return {
    start: () => {
      // If the log can't be opened, nothing is done here: the process itself reports the reason.
      opened.then(follow, () => undefined);
    },
    stop: async () => {
      stopping.abort();
      await following;
    },
  };
}
