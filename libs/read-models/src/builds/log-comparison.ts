import { verifyCheckpoint } from '#event-log';
import { NotReady } from '../errors.js';
import { type BuildComparison, compareBuilds } from './build-comparison.js';
import { beginBuild, BuildFeed } from './build-feed.js';
import type { FeedOptions } from './projector.js';

export interface ComparisonOptions<Doc> extends FeedOptions<Doc> {
  readonly signal: AbortSignal;
}

/**
 * Compares the served build (the one that queries read) with a fold of the whole log, document by document. The fold
 * applies all events to a new build, which is dropped afterwards. No process manager works on the new build, so the
 * comparison changes nothing.
 *
 * Throws `NotReady`, `RebuildNeeded`, `ProjectionStopped`, `LogUnavailable`, `ReadStoreUnavailable`, and the signal's
 * reason. `NotReady` means that no build is served. `RebuildNeeded` means that the served build is not of this log, so
 * that a comparison would only show what is known. `ProjectionStopped` means that an event can't be applied.
 */
export async function compareWithLog<Doc>(options: ComparisonOptions<Doc>): Promise<BuildComparison> {
  const { log, logId, store, projection, signal } = options;
  const served = await store.served(projection.name, projection.version);
  if (served === undefined) throw new NotReady(projection.name);
  await verifyCheckpoint(projection.name, log, logId, await store.checkpoint(served));
  const build = await beginBuild(store, projection);
  const fold = new BuildFeed({ ...options, isFresh: true, hasLists: false }, build);
  try {
    await fold.caughtUp();
    signal.throwIfAborted();
    return await compareBuilds(options, projection, [served, build]);
  } finally {
    await fold.end();
    await store.drop(build);
  }
}
