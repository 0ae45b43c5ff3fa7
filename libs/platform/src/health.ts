import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';

/** Resolves when the dependency answers, rejects when it doesn't. */
export type ReadinessCheck = () => Promise<void>;

export interface ReadinessReport {
  readonly status: 'ready' | 'not ready';
  /** By the checks' names, in the order in which they were added. */
  readonly checks: Readonly<Record<string, 'up' | 'down'>>;
}

const CHECK_TIMEOUT_MS = 2000;
const WATCH_EVERY_MS = 5000;

/** What must answer before this process may be given traffic; each app adds its own dependencies. */
export class ReadinessChecks {
  private readonly checks = new Map<string, ReadinessCheck>();
  private readonly down = new Set<string>();
  private stopping = false;

  constructor(private readonly logger: Logger) {}

  /** Throws when the name is taken: a check that replaced another would hide it. */
  add(name: string, check: ReadinessCheck): void {
    if (this.checks.has(name)) throw new Error(`There is a readiness check named ${name} already`);
    this.checks.set(name, check);
  }

  /** Red from now on: the process is about to stop. */
  turnRed(): void {
    this.stopping = true;
  }

  /** Looks by itself, too, so that the log tells of what is away also where nobody asks; answers how to stop that. */
  watch(): () => void {
    const timer = setInterval(() => void this.report(), WATCH_EVERY_MS);
    return () => {
      clearInterval(timer);
    };
  }

  /** Runs every check at once; one that takes longer than 2 s is down. Logged is only what changes. */
  async report(): Promise<ReadinessReport> {
    const results = await Promise.all(
      [...this.checks].map(async ([name, check]) => [name, await this.run(name, check)]),
    );
    const checks = Object.fromEntries(results) as Record<string, 'up' | 'down'>;
    const ready = !this.stopping && Object.values(checks).every((result) => result === 'up');
    return { status: ready ? 'ready' : 'not ready', checks };
  }

  private async run(name: string, check: ReadinessCheck): Promise<'up' | 'down'> {
    const timer = new AbortController();
    try {
      await Promise.race([
        check(),
        delay(CHECK_TIMEOUT_MS, undefined, { signal: timer.signal, ref: false }).then(() => {
          throw new Error(`No answer within ${CHECK_TIMEOUT_MS} ms`);
        }),
      ]);
      if (this.down.delete(name)) this.logger.info({ check: name }, 'readiness check passes again');
      return 'up';
    } catch (err) {
      if (!this.down.has(name)) this.logger.warn({ err, check: name }, 'readiness check failed');
      this.down.add(name);
      return 'down';
    } finally {
      timer.abort();
    }
  }
}

/** `/health/live`: the process answers. `/health/ready`: so does all that it needs, else 503 saying what is missing. */
export function serveHealth(fastify: FastifyInstance, readiness: ReadinessChecks): void {
  fastify.get('/health/live', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'live' }));
  fastify.get('/health/ready', async (_request, reply) => {
    const report = await readiness.report();
    return reply
      .header('cache-control', 'no-store')
      .code(report.status === 'ready' ? 200 : 503)
      .send(report);
  });
}
