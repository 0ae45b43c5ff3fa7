import { type BuildComparison, compareBuilds } from './build-comparison.js';
import { BuildLease } from './build-lease.js';
import { BuildsDiffer, NotReady, ProjectionStopped, RebuildNeeded, RebuildOvertaken, asError } from './errors.js';
import { type OutageObserver, mayPass, pause, untilAborted } from './log-follower.js';
import type { BuildName, CollectionSchema, ReadStore } from './port.js';
import { type FeedOptions, Projector, type ProjectorStatus } from './projector.js';
import { SpotCheckFailed, isPassed, spotCheck } from './spot-check.js';

/** Learns what happens to a projection, to log it and to count it. */
export interface ProjectionObserver extends OutageObserver {
  /** It can't go on with this build; `error` is `ProjectionStopped` or `RebuildNeeded`, or a bug. */
  stopped(error: unknown): void;
}

export interface ServedProjectionOptions<Doc> extends FeedOptions<Doc> {
  readonly observer: ProjectionObserver;
  /** Milliseconds between looks at which build is served, and between renewals of its lease (default 500). */
  readonly checkMs?: number;
  /** Milliseconds after which another process takes over from one that renews its lease no more (default 2000). */
  readonly leaseTtlMs?: number;
  /**
   * Take the lease from whoever has it at the start (default: no): for a process that is alone as a rule, and would wait
   * for its own former lease after a crash.
   */
  readonly seizeLease?: boolean;
  /** Milliseconds to wait after the store has refused what no waiting should help against (default 5000). */
  readonly failurePauseMs?: number;
}

const buildName = ({ name, version }: CollectionSchema, n: number): BuildName => `${name}_v${version}_${n}`;
const numberOf = (build: BuildName): number => Number(build.slice(build.lastIndexOf('_') + 1));

const CHECK_MS = 500;
const LEASE_TTL_MS = 2_000;
const FAILURE_PAUSE_MS = 5_000;
/** Who waits for a lease looks at it so many times while its holder renews it once. */
const LOOKS_A_RENEWAL = 3;

/**
 * Feeds the build of this code's version that queries are answered from, while this process has its lease. Where there
 * is none it makes the first, and has it served once it has caught up and passed a comparison with the log; when a
 * rebuild, by whatever process, has another one served, it feeds that one.
 */
export class ServedProjection<Doc> {
  private projector: Projector<Doc> | undefined;
  private lease: BuildLease | undefined;
  private serving: Promise<void> | undefined;
  /** Why the first build may not be served. */
  private refusal: Error | undefined;
  /** What the store refuses of a call that is about no event: looked at again after a pause. */
  private failure: Error | undefined;

  constructor(private readonly options: ServedProjectionOptions<Doc>) {}

  /** `undefined` until it is known which build to feed, and while another process feeds it. */
  status(): ProjectorStatus | undefined {
    const { failure, lease } = this;
    if (failure) {
      const { projection } = this.options;
      return {
        projection: projection.name,
        build: lease?.build ?? buildName(projection, 1),
        ...{ state: 'stopped', position: undefined, lagSeconds: undefined, error: failure },
      };
    }
    const status = this.projector?.status();
    return status && this.refusal ? { ...status, state: 'stopped', error: this.refusal } : status;
  }

  /**
   * Resolves when the signal aborts. A projection that had to stop says so by its observer and its status, and goes on
   * when a rebuild was switched to, or when the store takes again what it refused.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { observer, failurePauseMs = FAILURE_PAUSE_MS } = this.options;
    while (!signal.aborted) {
      try {
        await this.feedServed(signal);
      } catch (error) {
        const failure = asError(error);
        if (failure.message !== this.failure?.message) observer.stopped(failure);
        this.failure = failure;
        await pause(failurePauseMs, signal);
      }
    }
  }

  private async feedServed(signal: AbortSignal): Promise<void> {
    const { store, projection, observer, checkMs = CHECK_MS } = this.options;
    await untilAborted(signal, observer, async (recovered) => {
      const { name, version } = projection;
      const build = (await store.served(name, version)) ?? (await this.firstBuild());
      const lease = this.leaseOn(build);
      const isOurs = await lease.take();
      recovered();
      this.failure = undefined;
      if (isOurs) await this.feed(lease, signal);
      else await pause(checkMs / LOOKS_A_RENEWAL, signal);
    });
  }

  /** The one that a first start, this or an earlier one, began. */
  private async firstBuild(): Promise<BuildName> {
    const { store, projection } = this.options;
    const [begun] = await store.builds(projection.name, projection.version);
    if (begun) return begun.build;
    const build = buildName(projection, 1);
    await store.prepare(build, projection);
    return build;
  }

  /** The same one as long as the build is: it remembers for how long it has seen another's. */
  private leaseOn(build: BuildName): BuildLease {
    const { store, leaseTtlMs: ttlMs = LEASE_TTL_MS, seizeLease: seize = false } = this.options;
    if (this.lease?.build !== build) this.lease = new BuildLease(store, build, { ttlMs, seize });
    return this.lease;
  }

  /** Until another build is served, or the lease is lost. */
  private async feed(lease: BuildLease, signal: AbortSignal): Promise<void> {
    const { observer, checkMs = CHECK_MS } = this.options;
    const { build } = lease;
    const session = new AbortController();
    const projector = new Projector({ ...this.options, build });
    this.projector = projector;
    const running = projector.run(AbortSignal.any([signal, session.signal])).catch((error: unknown) => {
      observer.stopped(error);
    });
    try {
      await Promise.race([projector.caughtUp, pause(checkMs, signal)]);
      while (!signal.aborted && (await this.isToBeFed(lease, session.signal))) await pause(checkMs, signal);
    } finally {
      session.abort();
      await Promise.all([running, this.serving]);
      this.projector = undefined;
      this.refusal = undefined;
      await releaseIfPossible(lease);
    }
  }

  /** Where no build is served yet, has this one served as soon as it has caught up. */
  private async isToBeFed(lease: BuildLease, session: AbortSignal): Promise<boolean> {
    const { store, projection } = this.options;
    const { name, version } = projection;
    const { build } = lease;
    const state = this.status()?.state;
    try {
      const served = await store.served(name, version);
      if (served !== undefined && served !== build) return false;
      if (state === 'stopped') {
        // Another process may know what to do with the event; this one stays red until a rebuild was switched to.
        await lease.release();
        return true;
      }
      if (served === undefined && state === 'live') this.serving ??= this.serveFirst(build, session);
      return await lease.renew();
    } catch (error) {
      // The projector's own loop meets the same outage, and tells of it.
      if (mayPass(error)) return true;
      throw error;
    }
  }

  /** Beside the feeding, since reading the whole log may take longer than a lease holds. */
  private async serveFirst(build: BuildName, session: AbortSignal): Promise<void> {
    const { store, projection, observer } = this.options;
    const { name, version } = projection;
    const done = new AbortController();
    try {
      await untilAborted(AbortSignal.any([session, done.signal]), observer, async (recovered) => {
        const check = await spotCheck(this.options, projection, build, session);
        if (!isPassed(check)) throw new SpotCheckFailed(name, check);
        await store.serve(name, version, undefined, build);
        recovered();
        done.abort();
      });
    } catch (error) {
      this.refusal = asError(error);
      observer.stopped(error);
    } finally {
      this.serving = undefined;
    }
  }
}

/** Where it can't be, the others wait for its ttl. */
async function releaseIfPossible(lease: BuildLease): Promise<void> {
  try {
    await lease.release();
  } catch (error) {
    if (!mayPass(error)) throw error;
  }
}

export interface RebuildOptions<Doc> extends FeedOptions<Doc> {
  readonly signal: AbortSignal;
  /** Switch also when the documents differ from the served build's, because that one is known to be wrong. */
  readonly acceptDifferences?: boolean;
  /** How long the replaced build is fed for those who still read it, in milliseconds (default 60,000). */
  readonly graceMs?: number;
  readonly onSwitched?: (report: RebuildReport) => void;
}

export interface RebuildReport {
  readonly build: BuildName;
  readonly replaced: BuildName | undefined;
  /** Documents of the builds, and how many of those that were compared differ. */
  readonly documents: number;
  readonly different: number;
  /** Why nothing was compared: the replaced build could not be brought up to date. */
  readonly notCompared?: string;
}

/**
 * Makes a new build of the projection from the log beside the served one, compares the two document by document,
 * switches, feeds the replaced one for a while more, then drops it, and with it what rebuilds that were cut short have
 * left. Queries are answered all along. Where no build of this version is served it is compared with a fold of the log.
 * Resolves after all that; `onSwitched` is called at the switch.
 *
 * Throws `BuildsDiffer`, `SpotCheckFailed`; `RebuildOvertaken`; `ProjectionStopped` when an event can't be applied; the signal's reason;
 * `LogUnavailable` and `ReadStoreUnavailable`. Until the switch nothing has changed for queries.
 */
export async function rebuild<Doc>(options: RebuildOptions<Doc>): Promise<RebuildReport> {
  const { store, projection, signal, graceMs = 60_000, onSwitched } = options;
  const { name, version } = projection;
  const replaced = await store.served(name, version);
  const build = await beginBuild(store, projection);
  const fresh = new Feed(options, build);
  const old = replaced === undefined ? undefined : new Feed(options, replaced);
  let isSwitched = false;
  try {
    const report = { build, replaced, ...(await compareWhenCaughtUp(options, fresh, old)) };
    if (!(await store.serve(name, version, replaced, build)) && (await store.served(name, version)) !== build) {
      throw new RebuildOvertaken(name);
    }
    isSwitched = true;
    onSwitched?.(report);
    await pause(graceMs, signal);
    await Promise.all([fresh.end(), old?.end()]);
    if (!signal.aborted) await dropOlderThan(store, projection, build);
    return report;
  } catch (error) {
    await Promise.all([fresh.end(), old?.end()]);
    const served = await store.served(name, version);
    if (served !== build) await store.drop(build);
    throw isSwitched || served === replaced ? error : new RebuildOvertaken(name);
  }
}

/** An empty build, newer than all others. */
async function beginBuild(store: ReadStore, schema: CollectionSchema): Promise<BuildName> {
  const numbers = (await store.builds(schema.name, schema.version)).map(({ build }) => numberOf(build));
  const build = buildName(schema, Math.max(0, ...numbers) + 1);
  await store.prepare(build, schema);
  return build;
}

export interface ComparisonOptions<Doc> extends Omit<FeedOptions<Doc>, 'react'> {
  readonly signal: AbortSignal;
}

/**
 * Compares the served build with a fold of the whole log, document by document: a build that is made beside it for that,
 * reacts to nothing, and is dropped again. Changes nothing.
 *
 * Throws `NotReady` when no build is served; `ProjectionStopped` when an event can't be applied; the signal's reason;
 * `LogUnavailable` and `ReadStoreUnavailable`.
 */
export async function compareWithLog<Doc>(options: ComparisonOptions<Doc>): Promise<BuildComparison> {
  const { store, projection, signal } = options;
  const served = await store.served(projection.name, projection.version);
  if (served === undefined) throw new NotReady(projection.name);
  const build = await beginBuild(store, projection);
  const fold = new Feed(options, build);
  try {
    await fold.caughtUp();
    signal.throwIfAborted();
    return await compareBuilds(options, projection, [served, build]);
  } finally {
    await fold.end();
    await store.drop(build);
  }
}

/** A projector at work, whose end is a value: it may be waited for late, or never. */
class Feed<Doc> {
  private readonly session = new AbortController();
  private readonly projector: Projector<Doc>;
  private readonly ended: Promise<Error | undefined>;

  constructor(
    options: FeedOptions<Doc> & { readonly signal: AbortSignal },
    readonly build: BuildName,
  ) {
    this.projector = new Projector({ ...options, build });
    const signal = AbortSignal.any([options.signal, this.session.signal]);
    this.ended = this.projector.run(signal).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error('The projector failed', { cause: error })),
    );
  }

  /** Throws what the projector stopped at. */
  async caughtUp(): Promise<void> {
    const error = await Promise.race([this.projector.caughtUp, this.ended]);
    if (error) throw error;
  }

  async end(): Promise<void> {
    this.session.abort();
    await this.ended;
  }
}

async function compareWhenCaughtUp<Doc>(
  options: RebuildOptions<Doc>,
  fresh: Feed<Doc>,
  old: Feed<Doc> | undefined,
): Promise<Omit<RebuildReport, 'build' | 'replaced'>> {
  const { projection, signal, acceptDifferences = false } = options;
  await fresh.caughtUp();
  try {
    await old?.caughtUp();
  } catch (error) {
    if (!(error instanceof RebuildNeeded || error instanceof ProjectionStopped)) throw error;
    return { documents: 0, different: 0, notCompared: error.message };
  }
  signal.throwIfAborted();
  if (!old) {
    const check = await spotCheck(options, projection, fresh.build, signal);
    if (!isPassed(check) && !acceptDifferences) throw new SpotCheckFailed(projection.name, check);
    return { documents: check.documents, different: check.different.length };
  }
  const { documents, different } = await compareBuilds(options, projection, [old.build, fresh.build]);
  if (different.length > 0 && !acceptDifferences) throw new BuildsDiffer(projection.name, different);
  return { documents, different: different.length };
}

/** The replaced build, and what rebuilds that were cut short have left. */
async function dropOlderThan(store: ReadStore, { name, version }: CollectionSchema, build: BuildName): Promise<void> {
  for (const { build: other, served } of await store.builds(name, version)) {
    if (!served && numberOf(other) < numberOf(build)) await store.drop(other);
  }
}
