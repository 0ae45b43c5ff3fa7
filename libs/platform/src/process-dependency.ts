import type { ReadinessCheck } from './health.js';

/** What a process stands on and may come late: a store. */
export interface ProcessDependency {
  /** As readiness names it. */
  readonly name: string;
  /** Settles once: when it is open for the first time, or when no waiting helps. */
  readonly opened: Promise<unknown>;
  /** Rejects while it is not open, and when it does not answer. */
  readonly check: ReadinessCheck;
  /** After all that uses it; also before it was opened. */
  close(): Promise<void>;
}
