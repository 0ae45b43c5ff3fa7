import type { BuildName, ManagedBuild } from '#read-models';
import { EndedSubscriptions, type EndedSubscriptionsOptions } from './ended-subscriptions.js';
import type { ProcessManager, ProcessManagerDependencies, ProcessManagerStatus } from './process-manager.js';

/**
 * The process manager that unassigns all clients from subscriptions that have ended. `EndedSubscriptions` explains how
 * it works.
 */
export class SubscriptionEnds implements ProcessManager {
  readonly name = 'subscription-ends';
  private current: EndedSubscriptions | undefined;
  /** Number of failed attempts on builds whose work has ended. */
  private failedBefore = 0;

  constructor(
    private readonly dependencies: ProcessManagerDependencies,
    private readonly options: EndedSubscriptionsOptions = {},
  ) {}

  readonly manage = (build: BuildName, signal: AbortSignal): ManagedBuild => {
    const current = new EndedSubscriptions(this.dependencies, build, signal, this.options);
    this.current = current;
    void current.ended.then(() => {
      this.failedBefore += current.status().failedAttempts;
      if (this.current === current) this.current = undefined;
    });
    return current;
  };

  status(): ProcessManagerStatus {
    const status = this.current?.status() ?? { failing: 0, failedAttempts: 0, lasting: [] };
    return { ...status, failedAttempts: this.failedBefore + status.failedAttempts };
  }
}
