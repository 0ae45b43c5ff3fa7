import type { Collection, Filter, UpdateFilter } from 'mongodb';
import type { Checkpoint } from '#event-log';
import { type BuildInfo, type BuildName, type Lease, parsedBuild, ReadStoreUnavailable } from '#read-models';
import { hasCode, ServerCode } from './errors.js';

interface BuildEntry {
  readonly checkpoint?: Checkpoint;
  readonly lease?: Lease;
}

/**
 * The registry's entry for one version of a projection. The entry is a single document, so that MongoDB can compare and
 * set all parts of the entry together.
 */
export interface ProjectionEntry {
  /** `<projection>_v<version>` */
  readonly _id: string;
  readonly name: string;
  readonly version: number;
  /** The build that queries read. */
  readonly served?: BuildName;
  readonly builds: Readonly<Record<BuildName, BuildEntry>>;
  /**
   * The names of the dropped builds. This release gives none of them to a new build: MongoDB may carry out the drop of a
   * collection, or a write to it, long after the caller has given up, and would then hit another build of the same name.
   * Releases that do not know this field number a new build after the highest existing build, so a build that such a
   * release has made may have a name that is listed here.
   */
  readonly dropped?: readonly BuildName[];
}

const idOf = (name: string, version: number): string => `${name}_v${version}`;

const entryIdOf = (build: BuildName): string => {
  const { name, version } = parsedBuild(build);
  return idOf(name, version);
};

/**
 * The collection `projections`. It tells which builds (copies of a projection's documents) exist, which build queries
 * read, and the checkpoint and lease of each build.
 */
export class Registry {
  constructor(private readonly projections: Collection<ProjectionEntry>) {}

  /** Rejects if the database can't be read. */
  async look(): Promise<void> {
    await this.projections.findOne({}, { projection: { _id: 1 } });
  }

  async builds(name: string, version: number): Promise<BuildInfo[]> {
    const entry = await this.projections.findOne({ _id: idOf(name, version) });
    const builds = Object.entries(entry?.builds ?? {}) as [BuildName, BuildEntry][];
    return builds
      .toSorted(([left], [right]) => parsedBuild(left).number - parsedBuild(right).number)
      .map(([build, { checkpoint }]) => ({ build, checkpoint, served: entry?.served === build }));
  }

  async served(name: string, version: number): Promise<BuildName | undefined> {
    const entry = await this.projections.findOne({ _id: idOf(name, version) });
    return entry?.served;
  }

  /**
   * Returns the served build (the one that queries read). If several versions of the projection have a served build,
   * returns the latest version's.
   */
  async latestServed(name: string): Promise<BuildName | undefined> {
    const entry = await this.projections.findOne({ name, served: { $exists: true } }, { sort: { version: -1 } });
    return entry?.served;
  }

  async find(build: BuildName): Promise<BuildEntry | undefined> {
    const entry = await this.projections.findOne({ _id: entryIdOf(build) });
    return entry?.builds[build];
  }

  /** Throws `ReadStoreUnavailable` if the build does not exist because it was dropped or never prepared. */
  async expect(build: BuildName): Promise<void> {
    if ((await this.find(build)) === undefined) throw new ReadStoreUnavailable(`${build} is not there`);
  }

  /** Returns the names of the dropped builds. */
  async dropped(name: string, version: number): Promise<readonly BuildName[]> {
    const entry = await this.projections.findOne({ _id: idOf(name, version) });
    return entry?.dropped ?? [];
  }

  /** Returns whether a build of this name exists or was dropped. */
  async knows(build: BuildName): Promise<boolean> {
    const entry = await this.projections.findOne({ _id: entryIdOf(build) });
    return entry !== null && (build in entry.builds || entry.dropped?.includes(build) === true);
  }

  /**
   * Returns the names of dropped builds that no build has or will get, so that a collection of this name may be dropped.
   * A name with an entry is left out, and so is a name with a higher number than all entries: an earlier release may
   * begin a build of this name at any time (see `ProjectionEntry.dropped`).
   * One condition remains, because no command of MongoDB checks the registry and drops a collection: before the drop is
   * carried out, the builds with higher numbers must not all be dropped by an earlier release that then begins a build.
   */
  async unusedNames(name: string, version: number): Promise<readonly BuildName[]> {
    const entry = await this.projections.findOne({ _id: idOf(name, version) });
    if (!entry) return [];
    const highest = Math.max(...Object.keys(entry.builds).map((build) => parsedBuild(build as BuildName).number));
    return (entry.dropped ?? []).filter((build) => !(build in entry.builds) && parsedBuild(build).number < highest);
  }

  /** Enters the build if it is missing. Returns `false` if a build of this name was dropped. */
  async add(build: BuildName): Promise<boolean> {
    const { name, version } = parsedBuild(build);
    const _id = idOf(name, version);
    try {
      await this.projections.updateOne({ _id }, { $setOnInsert: { name, version, builds: {} } }, { upsert: true });
    } catch (error) {
      // Another process has inserted the same entry a moment earlier.
      if (!hasCode(error, ServerCode.DuplicateKey)) throw error;
    }
    const isUnused = { _id, [`builds.${build}`]: { $exists: false }, dropped: { $ne: build } };
    return (
      (await this.change(isUnused, { $set: { [`builds.${build}`]: {} } })) || (await this.find(build)) !== undefined
    );
  }

  /**
   * Makes `build` the served build. Returns `false` if `from` is not the served build, or if `build` does not exist.
   */
  serve(name: string, version: number, from: BuildName | undefined, build: BuildName): Promise<boolean> {
    return this.change(
      { _id: idOf(name, version), served: from ?? { $exists: false }, [`builds.${build}`]: { $exists: true } },
      { $set: { served: build } },
    );
  }

  /**
   * Removes the build, and keeps its name, so that `add` refuses the name from now on. Returns whether this call removed
   * the build; `false` if an earlier call had done so. Throws for the served build.
   */
  async remove(build: BuildName): Promise<boolean> {
    const { name, version } = parsedBuild(build);
    const entry = `builds.${build}`;
    const unserved = { _id: idOf(name, version), served: { $ne: build }, [entry]: { $exists: true } };
    const removed = await this.change(unserved, { $unset: { [entry]: '' }, $addToSet: { dropped: build } });
    if (!removed && (await this.served(name, version)) === build) {
      throw new Error(`${build} is served, so it can't be dropped`);
    }
    return removed;
  }

  advance(build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean> {
    const stored = expected && { logId: expected.logId, position: expected.position, eventId: expected.eventId };
    return this.move(build, 'checkpoint', stored, next);
  }

  setLease(build: BuildName, expected: Lease | undefined, next: Lease): Promise<boolean> {
    return this.move(build, 'lease', expected && { holder: expected.holder, turn: expected.turn }, next);
  }

  async releaseLease(build: BuildName, holder: string): Promise<void> {
    const lease = `builds.${build}.lease`;
    await this.change({ _id: entryIdOf(build), [`${lease}.holder`]: holder }, { $unset: { [lease]: '' } });
  }

  /**
   * Compares one part of the build's entry with `expected` and, if the two are equal, sets the part to `next`. Returns
   * `false` if the two differ, or if the build does not exist.
   */
  private move(
    build: BuildName,
    part: keyof BuildEntry,
    expected: Readonly<Record<string, string | number>> | undefined,
    next: Checkpoint | Lease,
  ): Promise<boolean> {
    const path = `builds.${build}.${part}`;
    const stored: Filter<ProjectionEntry>[] = expected
      ? Object.entries(expected).map(([field, value]) => ({ [`${path}.${field}`]: { $eq: value } }))
      : [{ [path]: { $exists: false } }];
    return this.change(
      { _id: entryIdOf(build), [`builds.${build}`]: { $exists: true }, $and: stored },
      { $set: { [path]: next } },
    );
  }

  private async change(expected: Filter<ProjectionEntry>, change: UpdateFilter<ProjectionEntry>): Promise<boolean> {
    const { matchedCount } = await this.projections.updateOne(expected, change);
    return matchedCount === 1;
  }
}
