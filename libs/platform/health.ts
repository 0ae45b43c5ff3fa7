import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { DescribedPart } from './openapi/api-description.js';
import { headersOf, jsonResponse, PLAIN_ROUTE_REFUSALS, problemResponses, schemaRef } from './openapi/responses.js';
import { storeOf, type StoreOutages } from './store-outages.js';
import { Degraded, Down, NoAnswer, Starting } from './unready.js';

/**
 * Resolves if the dependency (e.g. a store) works, and rejects if the dependency does not work. Rejects with `Degraded`
 * if the process can serve all requests although an operator has to act.
 */
export type ReadinessCheck = () => Promise<void>;

/** The result of a readiness check. Dashboards usually show these as green, amber and red. */
export type CheckResult = 'up' | 'degraded' | 'down';

export interface ReadinessReport {
  readonly status: 'ready' | 'degraded' | 'not ready';
  /** The result of each check under the check's name, in the order in which the checks were added. */
  readonly checks: Readonly<Record<string, CheckResult>>;
  /** Why checks are down, as far as everybody may know it. */
  readonly reasons?: Readonly<Record<string, string>>;
}

const CHECK_TIMEOUT_MS = 2000;
const WATCH_EVERY_MS = 5000;

export interface ReadinessCheckOptions {
  /** Whether the check asks one store, and has its name. Such a check says when an outage of the store is over. */
  readonly isOfStore?: boolean;
  /** Whether other code logs it when that stops for which the check stands. */
  readonly isLogged?: boolean;
}

/** How many times as long as the quiet that ends an outage a part of the process may take to use the store again. */
const RETURN_TIMES_QUIET = 5;

/** One run of a check. */
interface Run {
  readonly name: string;
  /** When the run began, on the clock of `performance.now()`. */
  readonly begunAt: number;
  readonly result: CheckResult;
  /** Why the check did not pass; `undefined` if it passed. */
  readonly error: unknown;
}

/**
 * Checks whether this process is ready for requests. Each app adds a check for each of its dependencies.
 *
 * When a check begins to fail, one line says so. But a store that is away is logged by `StoreOutages`, and a check that
 * fails because of that is not logged. A check that fails while the process is starting is logged at `info`, in one
 * line with all others that do.
 */
export class ReadinessChecks {
  private readonly checks = new Map<string, ReadinessCheck>();
  /** The names of the checks that ask one store. */
  private readonly ofStores = new Set<string>();
  /** The names of the checks whose failures other code logs. */
  private readonly silent = new Set<string>();
  /** The last result of each check that did not pass. */
  private readonly failing = new Map<string, CheckResult>();
  /** The result that was last logged of each check that did not pass. */
  private readonly told = new Map<string, CheckResult>();
  /**
   * The checks whose last runs met a store that is away, although that store's own check had passed. The values tell
   * since when, on the clock of `performance.now()`.
   */
  private readonly unexplained = new Map<string, number>();
  private isStartTold = false;
  private readonly reasons = new Map<string, string>();
  private stopping = false;

  /** Adds the metric of the checks to `registry`. */
  constructor(
    private readonly logger: Logger,
    registry: Registry,
    private readonly outages: StoreOutages,
  ) {
    const { checks, failing } = this;
    new Gauge({
      name: 'readiness_check_failing',
      help: '1 for a readiness check that was down or degraded when it last ran, else 0',
      labelNames: ['check', 'result'],
      registers: [registry],
      collect() {
        for (const check of checks.keys()) {
          for (const result of ['down', 'degraded']) this.set({ check, result }, failing.get(check) === result ? 1 : 0);
        }
      },
    });
  }

  /** Throws if the name is already taken. Otherwise the new check would replace the old check unnoticed. */
  add(name: string, check: ReadinessCheck, { isOfStore = false, isLogged = false }: ReadinessCheckOptions = {}): void {
    if (this.checks.has(name)) throw new Error(`There is a readiness check named ${name} already`);
    this.checks.set(name, check);
    if (isOfStore) this.ofStores.add(name);
    if (isLogged) this.silent.add(name);
  }

  /** Reports `not ready` from now on, because the process is about to stop. */
  turnRed(): void {
    this.stopping = true;
  }

  /**
   * Runs the checks every 5 s, so that an outage is logged even if no one calls `/health/ready`. Returns a function
   * that ends the repetition.
   */
  watch(): () => void {
    const timer = setInterval(() => void this.report(), WATCH_EVERY_MS);
    return () => {
      clearInterval(timer);
    };
  }

  /** Runs all checks at the same time. A check that takes longer than 2 s counts as down. Only changes are logged. */
  async report(): Promise<ReadinessReport> {
    const runs = await Promise.all([...this.checks].map(([name, check]) => this.run(name, check)));
    this.tell(runs);
    const checks = Object.fromEntries(runs.map(({ name, result }) => [name, result]));
    const found = new Set(Object.values(checks));
    const reasons = this.reasons.size > 0 && { reasons: Object.fromEntries(this.reasons) };
    if (this.stopping || found.has('down')) return { status: 'not ready', checks, ...reasons };
    return { status: found.has('degraded') ? 'degraded' : 'ready', checks };
  }

  private async run(name: string, check: ReadinessCheck): Promise<Run> {
    const timer = new AbortController();
    const begunAt = performance.now();
    const store = this.ofStores.has(name) ? name : undefined;
    try {
      await Promise.race([
        check(),
        delay(CHECK_TIMEOUT_MS, undefined, { signal: timer.signal, ref: false }).then(() => {
          throw new NoAnswer(`No answer within ${CHECK_TIMEOUT_MS} ms`, store);
        }),
      ]);
      this.failing.delete(name);
      this.reasons.delete(name);
      return { name, begunAt, result: 'up', error: undefined };
    } catch (error) {
      const result = error instanceof Degraded ? 'degraded' : 'down';
      this.failing.set(name, result);
      if (error instanceof Down) this.reasons.set(name, error.reason);
      else this.reasons.delete(name);
      return { name, begunAt, result, error };
    } finally {
      timer.abort();
    }
  }

  /** Logs what has changed. The checks of the stores come first, since they explain the failures of others. */
  private tell(runs: readonly Run[]): void {
    for (const { name, begunAt, result, error } of runs) {
      if (!this.ofStores.has(name)) continue;
      if (result !== 'down') this.outages.passed(name, begunAt);
      else if (error instanceof Error) this.outages.failed(error, begunAt);
    }
    const starting: string[] = [];
    for (const { name, result, error } of runs) {
      if (result === 'up') this.tellPassed(name);
      else if (this.isStarting(error)) starting.push(name);
      else if (!this.isExplained(name, error)) this.tellFailed(name, result, error);
    }
    if (starting.length > 0 && !this.isStartTold) this.logger.info({ checks: starting }, 'not ready yet');
    this.isStartTold = starting.length > 0;
  }

  private isStarting(error: unknown): boolean {
    const store = storeOf(error);
    return error instanceof Starting || (store !== undefined && this.outages.isOpening(store));
  }

  /**
   * Returns whether a store that is away explains the failure. If a check meets such a store, but that store's own check
   * has passed, the store may just have gone away, or has just come back and the part that is checked has not yet used it
   * again. So this counts only when it has lasted for a while.
   */
  private isExplained(name: string, error: unknown): boolean {
    const store = storeOf(error);
    const isOutage = store !== undefined || error instanceof NoAnswer;
    if (!isOutage) return false;
    if (this.ofStores.has(name) || this.outages.isAway(store)) {
      this.unexplained.delete(name);
      return true;
    }
    const since = this.unexplained.get(name);
    if (since !== undefined) return performance.now() < since + RETURN_TIMES_QUIET * this.outages.quietMs;
    this.unexplained.set(name, performance.now());
    return true;
  }

  private tellFailed(name: string, result: CheckResult, err: unknown): void {
    const isSilent = this.silent.has(name) && !this.unexplained.has(name);
    if (isSilent || this.told.get(name) === result) return;
    this.told.set(name, result);
    this.logger.warn({ err, result, check: name }, 'readiness check failed');
  }

  private tellPassed(name: string): void {
    this.unexplained.delete(name);
    if (this.told.delete(name)) this.logger.info({ check: name }, 'readiness check passes again');
  }
}

/**
 * `/health/live` answers 200 as long as the process runs. `/health/ready` answers 200 if no check is down, and otherwise
 * 503. The answer contains the result of each check.
 */
export function serveHealth(fastify: FastifyInstance, readiness: ReadinessChecks): void {
  fastify.get('/health/live', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'live' }));
  fastify.get('/health/ready', async (_request, reply) => {
    const report = await readiness.report();
    return reply
      .header('cache-control', 'no-store')
      .code(report.status === 'not ready' ? 503 : 200)
      .send(report);
  });
}

const REFUSALS = problemResponses(PLAIN_ROUTE_REFUSALS);

const readiness = (description: string, examples: Readonly<Record<string, ReadinessReport>>) =>
  jsonResponse(description, schemaRef('Readiness'), examples, headersOf('Cache-Control'));

/** Describes the routes of `serveHealth`. */
export const healthDescription: DescribedPart = {
  tags: [{ name: 'Health', description: 'For load balancers and operators' }],
  operations: [
    {
      path: '/health/live',
      method: 'get',
      operation: {
        operationId: 'getLiveness',
        tags: ['Health'],
        summary: 'Whether the process runs',
        security: [],
        responses: {
          200: jsonResponse(
            'The process runs',
            schemaRef('Liveness'),
            { live: { status: 'live' } },
            headersOf('Cache-Control'),
          ),
          ...REFUSALS,
        },
      },
    },
    {
      path: '/health/ready',
      method: 'get',
      operation: {
        operationId: 'getReadiness',
        tags: ['Health'],
        summary: 'Whether the process can serve requests, with the result of each check',
        security: [],
        responses: {
          200: readiness('The process can serve requests', {
            ready: { status: 'ready', checks: { 'event log': 'up', 'read store': 'up' } },
            degraded: { status: 'degraded', checks: { 'event log': 'up', 'signing keys': 'degraded' } },
          }),
          ...REFUSALS,
          503: readiness('A check is down, or the process is about to stop', {
            down: { status: 'not ready', checks: { 'event log': 'down', 'read store': 'up' } },
            unwritable: {
              status: 'not ready',
              checks: { 'event log': 'down', 'read store': 'up' },
              reasons: { 'event log': "can't be written: its disk is full" },
            },
          }),
        },
      },
    },
  ],
  schemas: {
    Liveness: { type: 'object', required: ['status'], properties: { status: { type: 'string', enum: ['live'] } } },
    Readiness: {
      type: 'object',
      required: ['status', 'checks'],
      properties: {
        status: { type: 'string', enum: ['ready', 'degraded', 'not ready'] },
        reasons: {
          type: 'object',
          additionalProperties: { type: 'string' },
          description: 'Why dependencies are down, as far as everybody may know it',
        },
        checks: {
          type: 'object',
          description: 'The result of each check under its name',
          additionalProperties: { type: 'string', enum: ['up', 'degraded', 'down'] },
        },
      },
    },
  },
};
