import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Gauge } from 'prom-client';
import { type Logger, LOGGER, ReadinessChecks, Registry } from '#platform';
import {
  type Projection,
  type ProjectionObserver,
  type ProjectorStatus,
  NotReady,
  ServedProjection,
  type ServedProjectionOptions,
  clients,
  history,
  subscriptions,
} from '#read-models';
import { assignments } from './assignments.js';
import { DEPENDENCIES, type ProjectorDependencies } from './dependencies.js';
import { SubscriptionEnds } from './subscription-ends.js';

interface Follower {
  readonly projection: { readonly name: string; readonly version: number };
  readonly served: { run(signal: AbortSignal): Promise<void>; status(): ProjectorStatus | undefined };
}

/** Follows the log: builds the read models and runs the process manager, each at its own pace. */
@Module({})
export class ProjectorModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];
  private readonly followers: readonly Follower[];

  static with(dependencies: ProjectorDependencies): DynamicModule {
    return { module: ProjectorModule, providers: [{ provide: DEPENDENCIES, useValue: dependencies }] };
  }

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: ProjectorDependencies,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(ReadinessChecks) private readonly readiness: ReadinessChecks,
    @Inject(Registry) private readonly registry: Registry,
  ) {
    const { book, readStore, clock } = dependencies;
    const ends = new SubscriptionEnds(book, readStore, clock);
    this.followers = [
      this.follower(clients),
      this.follower(subscriptions),
      this.follower(history),
      this.follower(assignments, (events, build) => ends.react(events, build)),
    ];
  }

  onApplicationBootstrap(): void {
    for (const follower of this.followers) {
      const { projection, served } = follower;
      this.readiness.add(`projection ${projection.name}`, () => this.requireServed(follower));
      this.running.push(served.run(this.stopping.signal));
    }
    this.measure();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  private follower<Doc>(projection: Projection<Doc>, react?: ServedProjectionOptions<Doc>['react']): Follower {
    const { book, readStore: store, clock } = this.dependencies;
    const { log, logId } = book;
    const observer = this.observerOf(projection.name);
    const served = new ServedProjection({
      log,
      logId,
      store,
      projection,
      now: clock,
      observer,
      ...(react && { react }),
    });
    return { projection, served };
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
  private async requireServed({ projection, served }: Follower): Promise<void> {
    const { name, version } = projection;
    const status = served.status();
    if (status?.state === 'stopped') throw status.error ?? new Error(`${name} stopped`);
    if ((await this.dependencies.readStore.served(name, version)) === undefined) throw new NotReady(name);
  }

  private measure(): void {
    const followers = this.followers;
    const gauge = (name: string, help: string, value: (status: ProjectorStatus) => number | undefined) =>
      new Gauge({
        name,
        help,
        labelNames: ['projection'],
        registers: [this.registry],
        collect() {
          for (const { projection, served } of followers) {
            const status = served.status();
            const measured = status && value(status);
            if (measured !== undefined) this.set({ projection: projection.name }, measured);
          }
        },
      });
    gauge('projection_lag_seconds', 'Age of the oldest event that the projection lacks, at most', (s) => s.lagSeconds);
    gauge('projection_position', 'Position of the last event that was applied', (s) => Number(s.position ?? 0));
    gauge('projection_stopped', '1 when the projection had to stop', (s) => (s.state === 'stopped' ? 1 : 0));
  }
}
