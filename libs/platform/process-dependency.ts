import type { Registry } from 'prom-client';
import type { ReadinessCheck } from './health.js';

/** A store, or a thread, that a process needs. The process may start before the store is available. */
export interface ProcessDependency {
  /** The name of the dependency in the answer of `/health/ready`. */
  readonly name: string;
  /** Whether the dependency is a store, and `check` asks only this store. */
  readonly isStore?: boolean;
  /**
   * Resolves when the store is open for the first time. Rejects if the store can't be opened and waiting would not
   * help.
   */
  readonly opened: Promise<unknown>;
  /**
   * Rejects with the reason when the dependency has broken and only a restart of the process helps. The process then
   * stops, and exits with 1.
   */
  readonly broken?: Promise<never>;
  /** Rejects if the store is not open or does not respond. */
  readonly check: ReadinessCheck;
  /** Adds the store's metrics. Called before the store is open. */
  readonly addMetrics?: (registry: Registry) => void;
  /** Called after everything that uses the store has been closed. May be called even if the store was never opened. */
  close(): Promise<void>;
}

/**
 * Closes the dependencies one after the other, the last one first: it may use those before it. Closes all of them, and
 * then rejects with the first error, if there is one.
 */
export async function closeAll(dependencies: readonly ProcessDependency[]): Promise<void> {
  const closed: Promise<void>[] = [];
  for (const dependency of dependencies.toReversed()) {
    const closing = dependency.close();
    closed.push(closing);
    await closing.catch(() => undefined);
  }
  await Promise.all(closed);
}
