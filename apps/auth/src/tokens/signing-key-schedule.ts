import { DomainError } from '#domain';
import { HistoryMissing, LogUnavailable, pause, RevisionConflict } from '#event-log';
import type { Logger, ReadinessChecks } from '#platform';
import type { AuthDependencies } from '../dependencies.js';

const EVERY_MS = 5_000;

/**
 * Activates the next signing key when its time has come, and makes sure that a signing key exists. Every auth process
 * tries to do so every five seconds, and one success is enough for all processes.
 */
export class SigningKeySchedule {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private failure: Error | undefined;

  constructor(
    private readonly dependencies: Pick<AuthDependencies, 'ring'>,
    private readonly logger: Logger,
    private readonly readiness: ReadinessChecks,
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
      await pause(EVERY_MS, signal);
      if (signal.aborted) return;
      await this.advance();
    }
  }

  private async advance(): Promise<void> {
    try {
      await this.dependencies.ring.advance();
      this.failure = undefined;
    } catch (err) {
      if (isHarmless(err)) return;
      this.failure = err instanceof Error ? err : new Error(String(err));
      this.logger.error({ err }, 'no signing key could be made to sign');
    }
  }
}

/**
 * Whether the error may be ignored. An error may be ignored if another process was faster, or if the log is
 * unavailable or lacks events. The readiness check of the log reports these two.
 */
const isHarmless = (error: unknown): boolean =>
  error instanceof LogUnavailable ||
  error instanceof HistoryMissing ||
  error instanceof RevisionConflict ||
  error instanceof DomainError;
