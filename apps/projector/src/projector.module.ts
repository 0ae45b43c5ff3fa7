import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Gauge } from 'prom-client';
import { type Logger, LOGGER, ReadinessChecks, Registry } from '#platform';
import { SubscriptionEnds, assignments } from '#process-managers';
import {
  type Projection,
  type ProjectionObserver,
  type ProjectorStatus,
  type ReadStore,
  NotReady,
  ServedProjection,
  type ServedProjectionOptions,
  clients,
  history,
  subscriptions,
} from '#read-models';
import { DEPENDENCIES, type ProjectorDependencies, type ProjectorStores } from './dependencies.js';

interface Follower {
  readonly projection: { readonly name: string; readonly version: number };
  readonly served: { run(signal: AbortSignal): Promise<void>; status(): ProjectorStatus | undefined };
}

const PROJECTIONS = [clients, subscriptions, history, assignments];

/** Follows the log: builds the read models and runs the process manager, each at its own pace. */
@Module({})
export class ProjectorModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** None until the stores are there. */
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
    for (const projection of PROJECTIONS) {
      this.readiness.add(`projection ${projection.name}`, () => this.requireServed(projection));
    }
    this.measure();
    // What keeps the stores from ever being opened ends the process elsewhere.
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
    const ends = new SubscriptionEnds(book, readStore, clock);
    const follower = <Doc>(projection: Projection<Doc>, react?: ServedProjectionOptions<Doc>['react']): Follower => {
      const { log, logId } = book;
      const observer = this.observerOf(projection.name);
      const options = { log, logId, store: readStore, projection, now: clock, observer, seizeLease };
      return { projection, served: new ServedProjection({ ...options, ...(react && { react }) }) };
    };
    this.readStore = readStore;
    this.followers = [
      follower(clients),
      follower(subscriptions),
      follower(history),
      follower(assignments, (...batch) => ends.react(...batch)),
    ];
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

  /** Red until this code's version of the projection has a build that is served, and when it had to stop. */
  private async requireServed({ name, version }: Follower['projection']): Promise<void> {
    const status = this.followers.find(({ projection }) => projection.name === name)?.served.status();
    if (status?.state === 'stopped') throw status.error ?? new Error(`${name} stopped`);
    if ((await this.readStore?.served(name, version)) === undefined) throw new NotReady(name);
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
          // Another process may have taken the work over.
          this.reset();
          for (const { projection, served } of followers()) {
            const status = served.status();
            const measured = status && value(status);
            if (measured !== undefined) this.set({ projection: projection.name }, measured);
          }
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
