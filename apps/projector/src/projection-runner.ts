import { setMaxListeners } from 'node:events';
import { type BookOfRecord, CatchUpReader } from '#event-log';
import { type Clock, listOf, type Logger, observerOfStores, type OutageNotes } from '#platform/without-http';
import {
  allProjections,
  type FailedWork,
  type ProcessManager,
  type ProcessManagerObserver,
  type ProcessManagerStatus,
} from '#process-managers';
import {
  type Projection,
  type ProjectionObserver,
  type ProjectorStatus,
  type ReadStore,
  ServedProjection,
} from '#read-models';
import { type PlainError, plainError } from './plain-error.js';

export interface ProjectorStores {
  readonly book: BookOfRecord;
  readonly readStore: ReadStore;
}

/** How a projection is getting on. Plain data, like all statuses here. */
export interface ProjectionStatus {
  readonly name: string;
  /** `undefined` while this process does not feed the projection's build (its copy of the documents). */
  readonly projector: Pick<ProjectorStatus, 'state' | 'position' | 'lagSeconds'> | undefined;
  /** Why the projection waits for a store or has stopped; `undefined` if it works. */
  readonly failure: PlainError | undefined;
}

/** How a process manager (code that reacts to events with commands) is getting on. */
export interface ManagerStatus extends Pick<ProcessManagerStatus, 'failing' | 'failedAttempts'> {
  readonly name: string;
  /** Number of pieces of work that have failed so often that an operator has to act. */
  readonly failingForLong: number;
  /** Names some of this work; `undefined` if there is none. */
  readonly degradation: PlainError | undefined;
  /** The error of a store for which all work waits; `undefined` if it does not wait. */
  readonly outage: PlainError | undefined;
}

/** How everything that a projector runs is getting on. Both lists are empty until the stores are open. */
export interface RunnerStatus {
  readonly projections: readonly ProjectionStatus[];
  readonly managers: readonly ManagerStatus[];
}

export interface ProjectionRunnerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly outages: OutageNotes;
  /**
   * Whether the runner takes over the leases of other processes when it starts. A lease is the right to feed a build
   * (a copy of a projection's documents). Use `true` in a process that usually runs alone.
   */
  readonly seizeLeases: boolean;
}

interface Follower {
  readonly projection: Projection;
  readonly served: ServedProjection<unknown>;
  readonly manager: ProcessManager | undefined;
}

/**
 * Builds the read models, and runs the process managers. Each projection follows the event log at its own pace. The
 * projector process uses this class on its main thread, the standalone on a thread of its own. Such a thread must stay
 * small, so nothing here may load Nest or Fastify.
 */
export class ProjectionRunner {
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** The list is empty until the stores are open. */
  private followers: readonly Follower[] = [];

  constructor(private readonly options: ProjectionRunnerOptions) {}

  /** Begins the work. Does nothing after `stop`. */
  start({ book, readStore }: ProjectorStores): void {
    const { signal } = this.stopping;
    if (signal.aborted) return;
    const { clock, seizeLeases: seizeLease } = this.options;
    const { log, logId } = book;
    // Each follower waits on it.
    setMaxListeners(0, signal);
    const catchUpReader = new CatchUpReader(log, allProjections.length);
    this.followers = allProjections.map(({ projection, manager: makeManager }) => {
      const observer = this.observerOf(projection.name);
      const options = { log, logId, store: readStore, projection, now: clock, observer, seizeLease, catchUpReader };
      const manager = makeManager?.({ book, readStore, clock, observer: this.managerObserver });
      const served = new ServedProjection({ ...options, ...(manager && { manage: manager.manage }) });
      return { projection, served, manager };
    });
    this.running = Promise.all(this.followers.map(({ served }) => served.run(signal)));
  }

  status(): RunnerStatus {
    return {
      projections: this.followers.map(({ projection, served }) => statusOfProjection(projection.name, served)),
      managers: this.followers.flatMap(({ manager }) => (manager ? [statusOfManager(manager)] : [])),
    };
  }

  /** Resolves when all work has ended. The stores MUST stay open until then. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private observerOf(projection: string): ProjectionObserver {
    const { logger, outages } = this.options;
    return {
      ...observerOfStores(outages, {
        outageBegan: (err) => {
          logger.warn({ err, projection }, 'the projection waits for a store');
        },
        outageEnded: () => {
          logger.info({ projection }, 'the projection goes on');
        },
      }),
      stopped: (err) => {
        logger.error({ err, projection }, 'the projection stopped');
      },
    };
  }

  private get managerObserver(): ProcessManagerObserver {
    const { logger, outages } = this.options;
    return {
      ...observerOfStores(outages, {
        outageBegan: (err) => {
          logger.warn({ err }, 'the process manager waits for a store');
        },
        outageEnded: () => {
          logger.info('the process manager goes on');
        },
      }),
      failed: ({ ids, error: err }) => {
        logger.warn({ err, ...ids }, 'work of the process manager failed and is tried again');
      },
      done: ({ ids, attempts }) => {
        logger.info({ ...ids, attempts }, 'work of the process manager that had failed is done');
      },
    };
  }
}

function statusOfProjection(name: string, served: ServedProjection<unknown>): ProjectionStatus {
  const status = served.status();
  const failure =
    served.outage ?? (status?.state === 'stopped' ? (status.error ?? new Error(`${name} stopped`)) : undefined);
  return {
    name,
    projector: status && { state: status.state, position: status.position, lagSeconds: status.lagSeconds },
    failure: failure && plainError(failure),
  };
}

function statusOfManager(manager: ProcessManager): ManagerStatus {
  const { failing, failedAttempts, lasting, outage } = manager.status();
  const [first] = lasting;
  return {
    ...{ name: manager.name, failing, failedAttempts, failingForLong: lasting.length },
    degradation: first && plainError(new Error(describe(manager.name, lasting), { cause: first.error })),
    outage: outage && plainError(outage),
  };
}

const describe = (manager: string, failing: readonly FailedWork[]): string =>
  `${manager} fails again and again for ${listOf(failing.map(({ ids }) => Object.values(ids).join(' of ')))}`;
