import type { BookOfRecord, OutageObserver } from '#event-log';
import type { ManageBuild, ReadStore } from '#read-models';

/** What a process manager (code that reacts to events by sending commands) needs besides the events. */
export interface ProcessManagerDependencies {
  readonly book: BookOfRecord;
  readonly readStore: ReadStore;
  readonly clock: () => Date;
  readonly observer: ProcessManagerObserver;
}

/** Work that has failed and is tried again. */
export interface FailedWork {
  /** The ids by which an operator knows the work, such as `clientId` and `subscriptionId`. */
  readonly ids: Readonly<Record<string, string>>;
  /** Number of attempts that have failed. */
  readonly attempts: number;
  /** The error of the last attempt. */
  readonly error: Error;
}

/** A caller passes this observer to log what happens to a process manager. */
export interface ProcessManagerObserver extends OutageObserver {
  /** Work has failed for the first time, and is tried again. Not called while very much other work is failing, too. */
  failed(work: FailedWork): void;
  /** Work that had failed is done. */
  done(work: FailedWork): void;
}

export interface ProcessManagerStatus {
  /** Number of pieces of work that have failed and are tried again. */
  readonly failing: number;
  /** Number of attempts that have failed since the start of the process. */
  readonly failedAttempts: number;
  /** The work that has failed so often that an operator has to act. */
  readonly lasting: readonly FailedWork[];
  /** The error of a store on which all work waits. */
  readonly outage?: Error;
}

export interface ProcessManager {
  readonly name: string;
  readonly manage: ManageBuild;
  status(): ProcessManagerStatus;
}
