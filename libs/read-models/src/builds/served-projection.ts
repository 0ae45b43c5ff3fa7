import {
  canGoOn,
  isNotFinal,
  OpenOutages,
  type OutageObserver,
  pause,
  ProjectionStopped,
  repeatUntilAborted,
  StoreUnavailable,
} from '#event-log';
import { asError } from '../errors.js';
import { buildName } from '../names.js';
import type { BuildName } from '../port.js';
import { BuildLease } from './build-lease.js';
import { ExpectedDocuments } from './expected-documents.js';
import type { ManageBuild } from './process-manager.js';
import { type FeedOptions, Projector, type ProjectorStatus } from './projector.js';
import { isPassed, spotCheck, SpotCheckFailed } from './spot-check.js';

/** A caller passes this observer to log and count what happens to a projection. */
export interface ProjectionObserver extends OutageObserver {
  /**
   * The projection can't go on with this build. `error` is `ProjectionStopped`, `RebuildNeeded`, or a programming
   * error.
   */
  stopped(error: unknown): void;
}

export interface ServedProjectionOptions<Doc> extends FeedOptions<Doc> {
  readonly observer: ProjectionObserver;
  /** Begins the work of the process manager that uses this projection, on the build that this process feeds. */
  readonly manage?: ManageBuild;
  /**
   * Milliseconds between two checks (default 500). In a check, this process reads which build is served, and answers the
   * processes that wait for the lease of the build that it feeds.
   */
  readonly checkMs?: number;
  /** Milliseconds after which another process takes over a lease whose holder does not answer (default 2000). */
  readonly leaseTtlMs?: number;
  /**
   * Whether the first attempt takes the lease even if another process holds it (default: no). Use `true` for a process
   * that usually runs alone. Otherwise this process would have to wait for its own former lease after a crash.
   */
  readonly seizeLease?: boolean;
  /**
   * Milliseconds to wait after the store has refused a call for a reason that does not go away by itself (default
   * 5000).
   */
  readonly failurePauseMs?: number;
}

const CHECK_MS = 500;
const LEASE_TTL_MS = 2_000;
const FAILURE_PAUSE_MS = 5_000;
/** A process that waits for a lease polls this many times while the lease's holder checks the lease once. */
const POLLS_PER_CHECK = 3;

/**
 * Keeps one projection, in this code's version, built and served. Several processes may do so at once. Each process
 * takes these steps:
 * 1. Find the build to feed: the served build (the one that queries read). If no build is served yet, use the first
 *    build, and create it if it is missing.
 * 2. Take the build's lease. While another process holds the lease, poll.
 * 3. Feed the build from the log, and answer the processes that wait for the lease.
 * 4. If no build is served yet: wait until this build has caught up, check it against the log (`spotCheck`), then serve
 *    it.
 * 5. If the lease is lost, or if a rebuild by any process has switched to another build, begin again at step 1. Do the
 *    same if an event could not be applied, and its stream is quarantined now or the event can be read again.
 */
export class ServedProjection<Doc> {
  private projector: Projector<Doc> | undefined;
  private lease: BuildLease | undefined;
  private serving: Promise<void> | undefined;
  /** Why the first build has failed its check against the log. Such a build is not served. */
  private refusal: Error | undefined;
  /**
   * The error with which the read store refuses a call although the store is available. An error that comes from one
   * particular event of the log is not kept here. The call is repeated after a pause.
   */
  private failure: Error | undefined;
  private readonly outages: OpenOutages;

  constructor(private readonly options: ServedProjectionOptions<Doc>) {
    this.outages = new OpenOutages(options.observer);
  }

  /** Returns `undefined` until the build to feed is known, and also while another process feeds the build. */
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

  /** Why this projection waits for a store now; `undefined` if it does not wait. */
  get outage(): Error | undefined {
    return this.outages.error;
  }

  /**
   * Resolves when the signal aborts. A projection that had to stop notifies its observer and shows the error in its
   * status. The projection goes on when a rebuild has switched to another build, or when the store accepts the call
   * that the store had refused.
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
    const { store, projection, checkMs = CHECK_MS } = this.options;
    await repeatUntilAborted(signal, this.outages.ofLoop(), async (recovered) => {
      const { name, version } = projection;
      const served = await store.served(name, version);
      const build = served ?? (await this.firstBuild());
      const lease = this.leaseOn(build);
      const isOurs = await lease.take();
      recovered();
      this.failure = undefined;
      if (isOurs) await this.feed(lease, served === undefined, signal);
      else await pause(checkMs / POLLS_PER_CHECK, signal);
    });
  }

  /**
   * Returns the first build, and creates it if it is missing. An earlier run or another process may already have begun
   * this build.
   */
  private async firstBuild(): Promise<BuildName> {
    const { store, projection } = this.options;
    // The name is read first: a build that another process begins after that is found, or has the same name.
    const build = await store.nextBuild(projection);
    const [begun] = await store.builds(projection.name, projection.version);
    if (begun) return begun.build;
    await store.prepareToLoad(build, projection);
    return build;
  }

  /**
   * Returns the same object as long as the build is the same. The object remembers for how long the
   * lease's holder (another process) has not answered.
   */
  private leaseOn(build: BuildName): BuildLease {
    const { store, leaseTtlMs: ttlMs = LEASE_TTL_MS, seizeLease: seize = false } = this.options;
    if (this.lease?.build !== build) this.lease = new BuildLease(store, build, { ttlMs, seize });
    return this.lease;
  }

  /**
   * Feeds the build until another build is served or the lease is lost. A first build (no build is served yet) is checked
   * and served on the way.
   */
  private async feed(lease: BuildLease, isFirst: boolean, signal: AbortSignal): Promise<void> {
    const { observer, projection, checkMs = CHECK_MS } = this.options;
    const { build } = lease;
    const session = new AbortController();
    const outages = this.outages.ofLoop();
    const expected = new ExpectedDocuments(projection);
    const options = { ...this.options, build, observer: outages };
    const projector = new Projector(isFirst ? { ...options, isFresh: true, expected } : options);
    this.projector = projector;
    const running = projector.run(AbortSignal.any([signal, session.signal])).catch((error: unknown) => {
      observer.stopped(error);
    });
    try {
      await Promise.race([projector.caughtUp, pause(checkMs, signal)]);
      while (!signal.aborted && (await this.isStillToBeFed(lease, expected, session.signal)))
        await pause(checkMs, signal);
    } finally {
      session.abort();
      await Promise.all([running, this.serving]);
      this.projector = undefined;
      this.refusal = undefined;
      this.outages.forget(outages);
      await releaseIfPossible(lease);
    }
  }

  /**
   * Returns whether this process must go on feeding the build. If no build is served yet, also starts to serve this
   * build as soon as it has caught up.
   */
  private async isStillToBeFed(
    lease: BuildLease,
    expected: ExpectedDocuments<Doc>,
    session: AbortSignal,
  ): Promise<boolean> {
    const { store, log, projection } = this.options;
    const { name, version } = projection;
    const { build } = lease;
    const { state, error: stoppedBy } = this.status() ?? {};
    try {
      const served = await store.served(name, version);
      if (served !== undefined && served !== build) return false;
      if (state === 'stopped') {
        // We release the lease because a process with another version of this code may be able to apply the event. This
        // process is not ready until a rebuild has switched to another build.
        await lease.release();
        return !(stoppedBy instanceof ProjectionStopped && (await canGoOn(log, stoppedBy)));
      }
      if (served === undefined && state === 'live') this.serving ??= this.serveFirst(build, expected, session);
      return await lease.keep();
    } catch (error) {
      // The outage affects the projector's own loop, too. That loop reports the outage.
      if (error instanceof StoreUnavailable) return true;
      throw error;
    }
  }

  /**
   * Checks the build against the log, then serves the build. This runs beside the feeding, because the check may take
   * longer than a lease lasts: it reads the events that another process has fed into the build.
   */
  private async serveFirst(build: BuildName, expected: ExpectedDocuments<Doc>, session: AbortSignal): Promise<void> {
    const { store, projection, observer } = this.options;
    const { name, version } = projection;
    const done = new AbortController();
    const outages = this.outages.ofLoop();
    try {
      const serve = async (recovered: () => void) => {
        const check = await spotCheck({ ...this.options, build, expected, signal: session });
        if (!isPassed(check)) throw new SpotCheckFailed(name, check);
        const isSwitched = await store.serve(projection, undefined, build);
        // If the build is served already, perhaps by an attempt that failed halfway, this completes the switch. If
        // another build is served, this one may have been dropped.
        if (!isSwitched && (await store.served(name, version)) === build) await store.prepare(build, projection);
        expected.close();
        recovered();
        done.abort();
      };
      const isOutage = (error: unknown): error is Error => isNotFinal(error) && !(error instanceof SpotCheckFailed);
      await repeatUntilAborted(AbortSignal.any([session, done.signal]), outages, serve, { isOutage });
    } catch (error) {
      this.refusal = asError(error);
      observer.stopped(error);
    } finally {
      this.outages.forget(outages);
      this.serving = undefined;
    }
  }
}

/**
 * Releases the lease if the store can be reached. Otherwise other processes have to wait until the lease's `ttlMs` is
 * over.
 */
async function releaseIfPossible(lease: BuildLease): Promise<void> {
  try {
    await lease.release();
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}
