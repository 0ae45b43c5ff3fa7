import type { BookOfRecord } from '#event-log';
import type { Clock } from '#platform';
import type { ReadStore } from '#read-models';
import type { LateBook, LateReadStore } from '#stores';

export interface ProjectorStores {
  readonly book: BookOfRecord;
  readonly readStore: ReadStore;
}

/** What the projector works on; its process opens and closes them. */
export interface ProjectorDependencies {
  /** Resolves when both stores are there; what it rejects with ends the process. */
  readonly opened: () => Promise<ProjectorStores>;
  readonly clock: Clock;
  /** Whether it takes the work over from whoever has it when it starts: where it is the only projector, as a rule. */
  readonly seizeLeases: boolean;
}

/** Injection token of `ProjectorDependencies`. */
export const DEPENDENCIES = Symbol('ProjectorDependencies');

export interface ProjectorParts {
  readonly log: Pick<LateBook, 'opened'>;
  readonly readStore: LateReadStore;
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
