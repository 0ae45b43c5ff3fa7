import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '#domain';
import { RebuildNeeded } from '#event-log';
import { Degraded, type Logger } from '#platform';
import { TreeHeadsRefused } from '#tree-heads';
import type { ManagementDependencies } from '../dependencies.js';

/** How often it is looked whether a head is due, in ms. */
const LOOK_EVERY_MS = 1_000;

/** Signs heads of the tree over the log while the process runs. Several processes may do so at the same time. */
export class TreeHeadSchedule {
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  /** Why no head is signed. */
  private error: Error | undefined;

  constructor(
    private readonly dependencies: Pick<ManagementDependencies, 'tree' | 'opened'>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    // If a store can't be opened, the process itself reports the reason.
    this.dependencies.opened.then(
      () => (this.running = this.run()),
      () => undefined,
    );
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Throws `Degraded` while an operator has to act before a head is signed. */
  check(): Promise<void> {
    const { error } = this;
    return error && needsOperator(error) ? Promise.reject(new Degraded(error.message)) : Promise.resolve();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        await this.dependencies.tree.signer.signIfDue(signal);
        if (this.error && needsOperator(this.error)) this.logger.info('heads of the tree are signed again');
        this.error = undefined;
      } catch (error) {
        this.report(error instanceof Error ? error : new Error(String(error)));
      }
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Logs only what is new. That a store is away is reported by its readiness check. */
  private report(error: Error): void {
    if (this.stopping.signal.aborted) return;
    const isNews = this.error?.message !== error.message;
    this.error = error;
    if (isNews && (needsOperator(error) || !(error instanceof Failure))) {
      this.logger.error({ err: error }, 'no head of the tree is signed');
    }
  }
}

const needsOperator = (error: Error): boolean => error instanceof TreeHeadsRefused || error instanceof RebuildNeeded;
