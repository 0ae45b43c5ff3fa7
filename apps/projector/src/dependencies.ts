import type { BookOfRecord } from '#event-log';
import type { Clock } from '#platform';
import type { ReadStore } from '#read-models';

/** What the projector works on; its process opens and closes them. */
export interface ProjectorDependencies {
  readonly book: BookOfRecord;
  readonly readStore: ReadStore;
  readonly clock: Clock;
}

/** Injection token of `ProjectorDependencies`. */
export const DEPENDENCIES = Symbol('ProjectorDependencies');
