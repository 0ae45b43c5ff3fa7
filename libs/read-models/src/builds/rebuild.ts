import { pause, ProjectionStopped, RebuildNeeded } from '#event-log';
import { BuildsDiffer, RebuildOvertaken } from '../errors.js';
import { parsedBuild } from '../names.js';
import type { BuildName, CollectionSchema, ReadStore } from '../port.js';
import { compareBuilds, EXAMPLES } from './build-comparison.js';
import { beginBuild, BuildFeed } from './build-feed.js';
import { ExpectedDocuments } from './expected-documents.js';
import type { FeedOptions } from './projector.js';
import { isPassed, spotCheck, SpotCheckFailed } from './spot-check.js';

export interface RebuildOptions<Doc> extends FeedOptions<Doc> {
  readonly signal: AbortSignal;
  /**
   * Whether to switch even if the new documents differ from those of the served build, which queries read (default:
   * no). Use `true` if the served build is known to be wrong.
   */
  readonly acceptDifferences?: boolean;
  /**
   * How long the replaced build is still fed, in ms (default 60,000). Queries may still read this build during that
   * time.
   */
  readonly graceMs?: number;
  readonly onSwitched?: (report: RebuildReport) => void;
}

export interface RebuildReport {
  readonly build: BuildName;
  readonly replaced: BuildName | undefined;
  /** Number of documents that were found in the builds. A document that is in both builds counts once. */
  readonly documents: number;
  /** Number of the compared documents that differ. */
  readonly different: number;
  /** The ids of some of the documents that differ. */
  readonly examples: readonly string[];
  /** Set only if the builds were not compared. Tells why the replaced build could not be brought up to date. */
  readonly notCompared?: string;
}

/**
 * Makes a new build (copy of a projection's documents) from the log, beside the served build, which queries read.
 * Queries can read the served build during the whole rebuild:
 * 1. Begin an empty build, and feed it until it has caught up.
 * 2. Compare the new build with the served build, document by document. If no build of this version is served, compare
 *    the new build with a fold of the log that was made beside it (`spotCheck`).
 * 3. Switch: make the new build the served one, unless another rebuild has switched meanwhile. Then call `onSwitched`.
 * 4. Feed both builds for `graceMs`, for queries that still read the replaced build.
 * 5. Complete the switch if the store failed in the middle of it. Then drop the replaced build, and all builds that
 *    interrupted rebuilds have left. Do nothing if a later rebuild has switched meanwhile.
 *
 * No process manager works during a rebuild. The process that feeds the served build runs the process manager. After the
 * switch, that process finds the work that is left in the documents of the new build.
 *
 * Throws `BuildsDiffer`, `SpotCheckFailed`, `RebuildOvertaken`, `ProjectionStopped`, `LogUnavailable`,
 * `ReadStoreUnavailable`, and the signal's reason. `ProjectionStopped` means that an event can't be applied. If the
 * rebuild fails before the switch, the new build is dropped, and nothing has changed for queries.
 */
export async function rebuild<Doc>(options: RebuildOptions<Doc>): Promise<RebuildReport> {
  const { store, projection, signal, graceMs = 60_000, onSwitched } = options;
  const { name, version } = projection;
  const replaced = await store.served(name, version);
  const build = await beginBuild(store, projection);
  const expected = new ExpectedDocuments(projection);
  const fresh = new BuildFeed({ ...options, isFresh: true, ...(replaced === undefined && { expected }) }, build);
  const old = replaced === undefined ? undefined : new BuildFeed(options, replaced);
  let isSwitched = false;
  try {
    const report = { build, replaced, ...(await compareWhenCaughtUp({ ...options, expected }, fresh, old)) };
    await switchTo(options, replaced, build);
    isSwitched = true;
    expected.close();
    onSwitched?.(report);
    await pause(graceMs, signal);
    await Promise.all([fresh.end(), old?.end()]);
    // If a later rebuild has switched meanwhile, that rebuild drops the older builds, and may have dropped this one.
    if (!signal.aborted && (await store.served(name, version)) === build) {
      // If the switch was cut short, this completes it: no view may show a build that is dropped.
      await store.prepare(build, projection);
      await dropOlderThan(store, projection, build);
    }
    return report;
  } catch (error) {
    await Promise.all([fresh.end(), old?.end()]);
    const served = await store.served(name, version);
    if (served !== build) await store.drop(build);
    throw isSwitched || served === replaced || served === build ? error : new RebuildOvertaken(name);
  }
}

/**
 * Makes `build` the served build. Throws `RebuildOvertaken` if another rebuild has switched first. An error of the store
 * is thrown only if the store has not switched: what else belongs to a switch may be completed later (see
 * `ReadStore.serve`).
 */
async function switchTo<Doc>(
  { store, projection }: RebuildOptions<Doc>,
  replaced: BuildName | undefined,
  build: BuildName,
): Promise<void> {
  const { name, version } = projection;
  try {
    if (await store.serve(projection, replaced, build)) return;
  } catch (error) {
    if ((await store.served(name, version)) !== build) throw error;
  }
  if ((await store.served(name, version)) !== build) throw new RebuildOvertaken(name);
}

async function compareWhenCaughtUp<Doc>(
  options: RebuildOptions<Doc> & { readonly expected: ExpectedDocuments<Doc> },
  fresh: BuildFeed<Doc>,
  old: BuildFeed<Doc> | undefined,
): Promise<Omit<RebuildReport, 'build' | 'replaced'>> {
  const { projection, signal, acceptDifferences = false } = options;
  await fresh.caughtUp();
  try {
    await old?.caughtUp();
  } catch (error) {
    if (!(error instanceof RebuildNeeded || error instanceof ProjectionStopped)) throw error;
    return { documents: 0, different: 0, examples: [], notCompared: error.message };
  }
  signal.throwIfAborted();
  if (!old) {
    const check = await spotCheck({ ...options, build: fresh.build });
    if (!isPassed(check) && !acceptDifferences) throw new SpotCheckFailed(projection.name, check);
    return {
      documents: check.documents,
      different: check.different.length,
      examples: check.different.slice(0, EXAMPLES),
    };
  }
  const { documents, different, examples } = await compareBuilds(options, projection, [old.build, fresh.build]);
  if (different > 0 && !acceptDifferences) throw new BuildsDiffer(projection.name, different, examples);
  return { documents, different, examples };
}

/** Drops the replaced build, and all builds that interrupted rebuilds have left. */
async function dropOlderThan(store: ReadStore, { name, version }: CollectionSchema, build: BuildName): Promise<void> {
  for (const { build: other, served } of await store.builds(name, version)) {
    if (!served && parsedBuild(other).number < parsedBuild(build).number) await store.drop(other);
  }
}
