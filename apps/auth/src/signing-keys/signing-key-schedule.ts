import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { DomainError } from '#domain';
import { LogUnavailable, RevisionConflict } from '#event-log';
import { type Logger, LOGGER, ReadinessChecks } from '#platform';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';

const EVERY_MS = 5_000;

/**
 * Lets a published signing key sign when its time has come, and sees that one signs at all: every auth process looks, and
 * whichever comes first does it for all.
 */
@Injectable()
export class SigningKeySchedule {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private failure: Error | undefined;

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: Pick<AuthDependencies, 'ring'>,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(ReadinessChecks) private readonly readiness: ReadinessChecks,
  ) {}

  start(): void {
    this.readiness.add('signing keys', () => (this.failure ? Promise.reject(this.failure) : Promise.resolve()));
    this.running = this.run(this.stopping.signal);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(EVERY_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      await this.look();
    }
  }

  private async look(): Promise<void> {
    try {
      await this.dependencies.ring.advance();
      this.failure = undefined;
    } catch (err) {
      if (isPassing(err)) return;
      this.failure = err instanceof Error ? err : new Error(String(err));
      this.logger.error({ err }, 'no signing key could be made to sign');
    }
  }
}

/** Others were faster, or the log is away, which its own check tells. */
const isPassing = (error: unknown): boolean =>
  error instanceof LogUnavailable || error instanceof RevisionConflict || error instanceof DomainError;
