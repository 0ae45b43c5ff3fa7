import type { Clock, Logger, OutageNotes } from '#platform';
import { ReadModelQueries } from '#read-models';
import type { PendingBook, PendingReadStore } from '#stores';
import { ProjectionRunner, type RunnerStatus } from './projection-runner.js';

/** The projections and process managers, on this thread or on another one. */
export interface RunningProjections {
  /** Begins the work as soon as the stores are open. */
  start(): void;
  /** Rejects if the thread that does the work does not answer. */
  status(): Promise<RunnerStatus>;
  /** Resolves when the process may close its stores. */
  stop(): Promise<void>;
}

/** What the projector module uses. The process that runs it opens and closes the stores. */
export interface ProjectorDependencies {
  readonly projections: RunningProjections;
  /** Throws `ReadStoreUnavailable` or `LogUnavailable` until both stores are open, so every use must read it anew. */
  readonly readModels: Pick<ReadModelQueries, 'at'>;
}

/** NestJS injection token of `ProjectorDependencies`. */
export const DEPENDENCIES = Symbol('ProjectorDependencies');

export interface ProjectorParts {
  readonly projections: RunningProjections;
  readonly log: { readonly current: Pick<PendingBook['current'], 'book'> };
  readonly readStore: PendingReadStore;
}

export function projectorDependencies({ projections, log, readStore }: ProjectorParts): ProjectorDependencies {
  let readModels: ReadModelQueries | undefined;
  return {
    projections,
    get readModels() {
      const { log: eventLog, logId } = log.current.book;
      return (readModels ??= new ReadModelQueries({ log: eventLog, logId, store: readStore.current }));
    },
  };
}

export interface OwnThreadParts {
  readonly log: PendingBook;
  readonly readStore: PendingReadStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly outages: OutageNotes;
}

/** Runs the projections on the calling thread, for a process that does nothing else. */
export function projectionsOnThisThread({
  log,
  readStore,
  clock,
  logger,
  outages,
}: OwnThreadParts): RunningProjections {
  const runner = new ProjectionRunner({ clock, logger, outages, seizeLeases: false });
  return {
    start: () => {
      // If a store can't be opened, other code ends the process with the error. Therefore the error is ignored here.
      Promise.all([log.opened, readStore.opened]).then(
        ([{ book }, store]) => {
          runner.start({ book, readStore: store });
        },
        () => undefined,
      );
    },
    status: () => Promise.resolve(runner.status()),
    stop: () => runner.stop(),
  };
}
