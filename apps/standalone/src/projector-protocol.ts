import type { Configuration, StoreConfiguration } from '#platform/without-http';
import type { LogFindings } from '#stores/without-keys';
import type { PlainError } from '../../projector/src/plain-error.js';
import type { RunnerStatus } from '../../projector/src/projection-runner.js';

/** What the thread is started with. It contains no keys: the thread needs none. */
export interface ProjectorThreadData extends StoreConfiguration, Pick<Configuration, 'logLevel'> {
  /** Shared with the main thread's event log. See `SqliteEventLogOptions`. */
  readonly changeCounter: SharedArrayBuffer;
}

/** What the thread can be asked: how its work is getting on, and what its log and its stores' readiness checks find. */
export interface Answers {
  readonly status: RunnerStatus;
  readonly findings: LogFindings;
  /** The error of a check that failed; `undefined` if all passed. */
  readonly check: PlainError | undefined;
}

export type Question = keyof Answers;

export type ToProjectorThread =
  /** Tells the thread to open its stores and to begin the work. */
  | { readonly kind: 'start' }
  | { readonly kind: 'ask'; readonly question: Question }
  /** Tells the thread to end its work, to close its stores, and then to end. */
  | { readonly kind: 'stop' };

export type FromProjectorThread =
  /** The stores are open, and the work has begun. */
  | { readonly kind: 'started' }
  | { readonly kind: 'answer'; readonly question: Question; readonly answer: Answers[Question] }
  /** A store has failed the work of the thread. */
  | { readonly kind: 'storeFailed'; readonly error: PlainError }
  /** A line of the log, with its line feed. */
  | { readonly kind: 'log'; readonly line: string };
