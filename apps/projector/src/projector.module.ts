import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { CatchUpReader } from '#event-log';
import { Degraded, LOGGER, type Logger, ReadinessChecks, Registry } from '#platform';
import {
  allProjections,
  type FailedWork,
  type ProcessManager,
  type ProcessManagerObserver,
  type ProcessManagerStatus,
} from '#process-managers';
import {
  NotReady,
  type Projection,
  type ProjectionObserver,
  type ProjectorStatus,
  type ReadStore,
  ServedProjection,
} from '#read-models';
import { DEPENDENCIES, type ProjectorDependencies, type ProjectorStores } from './dependencies.js';

interface Follower {
  readonly projection: Projection;
  readonly served: ServedProjection<unknown>;
  readonly manager: ProcessManager | undefined;
}

/**
 * Builds the read models, and runs the process managers (code that reacts to events with commands). Each projection
 * follows the event log at its own pace.
 */
@Module({})
export class ProjectorModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** The list is empty until the stores are open. */
  private followers: readonly Follower[] = [];
  private readStore: ReadStore | undefined;

  static with(dependencies: ProjectorDependencies): DynamicModule {
    return { module: ProjectorModule, providers: [{ provide: DEPENDENCIES, useValue: dependencies }] };
  }

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: ProjectorDependencies,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(ReadinessChecks) private readonly readiness: ReadinessChecks,
    @Inject(Registry) private readonly registry: Registry,
  ) {}

  onApplicationBootstrap(): void {
    for (const { projection } of allProjections) {
      this.readiness.add(`projection ${projection.name}`, () => this.requireServed(projection), {
        isLogged: true,
      });
    }
    this.readiness.add('process managers', () => this.requireManaged());
    this.measure();
    // If the stores can't be opened, other code ends the process with the error. Therefore the error is ignored here.
    this.dependencies.opened().then(
      (stores) => {
        this.follow(stores);
      },
      () => undefined,
    );
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private follow({ book, readStore }: ProjectorStores): void {
    const { signal } = this.stopping;
    if (signal.aborted) return;
    const { clock, seizeLeases: seizeLease } = this.dependencies;
    const { log, logId } = book;
    const catchUpReader = new CatchUpReader(log, allProjections.length);
    this.readStore = readStore;
    this.followers = allProjections.map(({ projection, manager: makeManager }) => {
      const observer = this.observerOf(projection.name);
      const options = { log, logId, store: readStore, projection, now: clock, observer, seizeLease, catchUpReader };
      const manager = makeManager?.({ book, readStore, clock, observer: this.managerObserver });
      const served = new ServedProjection({ ...options, ...(manager && { manage: manager.manage }) });
      return { projection, served, manager };
    });
    this.running = Promise.all(this.followers.map(({ served }) => served.run(signal)));
  }

  private observerOf(projection: string): ProjectionObserver {
    return {
      outageBegan: (err) => {
        this.logger.warn({ err, projection }, 'the projection waits for a store');
      },
      outageEnded: () => {
        this.logger.info({ projection }, 'the projection goes on');
      },
      stopped: (err) => {
        this.logger.error({ err, projection }, 'the projection stopped');
      },
    };
  }

  private readonly managerObserver: ProcessManagerObserver = {
    outageBegan: (err) => {
      this.logger.warn({ err }, 'the process manager waits for a store');
    },
    outageEnded: () => {
      this.logger.info('the process manager goes on');
    },
    failed: ({ ids, error: err }) => {
      this.logger.warn({ err, ...ids }, 'work of the process manager failed and is tried again');
    },
    done: ({ ids, attempts }) => {
      this.logger.info({ ...ids, attempts }, 'work of the process manager that had failed is done');
    },
  };

  /**
   * Throws until this code's version of the projection has a served build (a copy of its documents that queries read).
   * Also throws if the projection had to stop, and while it waits for a store.
   */
  private async requireServed({ name, version }: Projection): Promise<void> {
    const served = this.followers.find(({ projection }) => projection.name === name)?.served;
    if (served?.outage) throw served.outage;
    const status = served?.status();
    if (status?.state === 'stopped') throw status.error ?? new Error(`${name} stopped`);
    if ((await this.readStore?.served(name, version)) === undefined) throw new NotReady(name);
  }

  /** Throws while a process manager waits for a store. Throws `Degraded` while work fails again and again. */
  // eslint-disable-next-line @typescript-eslint/require-await -- the promise must reject with what is thrown here
  private async requireManaged(): Promise<void> {
    for (const { manager } of this.followers) {
      const { outage, lasting = [] } = manager?.status() ?? {};
      if (outage) throw outage;
      const [first] = lasting;
      if (manager && first) throw new Degraded(describe(manager.name, lasting), { cause: first.error });
    }
  }

  private measure(): void {
    const followers = () => this.followers;
    const gauge = (name: string, help: string, value: (status: ProjectorStatus) => number | undefined) =>
      new Gauge({
        name,
        help,
        labelNames: ['projection'],
        registers: [this.registry],
        collect() {
          // Without this call, the metrics of this process would keep the last values of a projection that another
          // process has taken over.
          this.reset();
          for (const { projection, served } of followers()) {
            const status = served.status();
            const measured = status && value(status);
            if (measured !== undefined) this.set({ projection: projection.name }, measured);
          }
        },
      });
    const managers = () => this.followers.flatMap(({ manager }) => manager ?? []);
    const managerGauge = (name: string, help: string, value: (status: ProcessManagerStatus) => number) =>
      new Gauge({
        name,
        help,
        labelNames: ['manager'],
        registers: [this.registry],
        collect() {
          for (const manager of managers()) this.set({ manager: manager.name }, value(manager.status()));
        },
      });
    managerGauge('process_manager_failing', 'Pieces of work that have failed and are tried again', (s) => s.failing);
    managerGauge(
      'process_manager_failing_for_long',
      'Pieces of work that have failed ten times or more',
      (s) => s.lasting.length,
    );
    new Counter({
      name: 'process_manager_failed_attempts_total',
      help: 'Attempts at pieces of work that have failed',
      labelNames: ['manager'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const manager of managers()) this.inc({ manager: manager.name }, manager.status().failedAttempts);
      },
    });
    gauge('projection_lag_seconds', 'Age of the oldest event that the projection lacks, at most', (s) => s.lagSeconds);
    gauge('projection_position', 'Position of the last event that was applied', (s) => Number(s.position ?? 0));
    gauge('projection_at_work', '1 in the process that feeds the build that is served', (s) =>
      s.state === 'stopped' ? undefined : 1,
    );
    gauge('projection_stopped', '1 when the projection had to stop', (s) => (s.state === 'stopped' ? 1 : 0));
  }
}

const MAX_NAMED = 5;

const describe = (manager: string, failing: readonly FailedWork[]): string => {
  const named = failing.slice(0, MAX_NAMED).map(({ ids }) => Object.values(ids).join(' of '));
  const more = failing.length > MAX_NAMED ? ` and ${failing.length - MAX_NAMED} more` : '';
  return `${manager} fails again and again for ${named.join(', ')}${more}`;
};
