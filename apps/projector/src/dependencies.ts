import type { BookOfRecord } from '#event-log';
import type { Clock } from '#platform';
import type { ReadStore } from '#read-models';
import type { PendingBook, PendingReadStore } from '#stores';

export interface ProjectorStores {
  readonly book: BookOfRecord;
  readonly readStore: ReadStore;
}

/** The stores and settings that the projector uses. The process that runs the projector opens and closes the stores. */
export interface ProjectorDependencies {
  /** Resolves when both stores are open. If the promise rejects, its error ends the process. */
  readonly opened: () => Promise<ProjectorStores>;
  readonly clock: Clock;
  /**
   * Whether the projector takes over the leases of other processes when the projector starts. A lease is the right to
   * feed a build (a copy of a projection's documents). Use `true` for a process that usually runs alone.
   */
  readonly seizeLeases: boolean;
}

/** NestJS injection token of `ProjectorDependencies`. */
export const DEPENDENCIES = Symbol('ProjectorDependencies');

export interface ProjectorParts {
  readonly log: Pick<PendingBook, 'opened'>;
  readonly readStore: PendingReadStore;
  readonly clock: Clock;
  readonly seizeLeases?: boolean;
}

export const projectorDependencies = ({
  log,
  readStore,
  clock,
  seizeLeases = false,
}: ProjectorParts): ProjectorDependencies => ({
  opened: async () => {
    const [{ book }, store] = await Promise.all([log.opened, readStore.opened]);
    return { book, readStore: store };
  },
  clock,
  seizeLeases,
});
