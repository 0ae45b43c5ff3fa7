import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { Degraded, ReadinessChecks, Registry } from '#platform';
import { allProjections } from '#process-managers';
import type { Projection } from '#read-models';
import { DEPENDENCIES, type ProjectorDependencies } from './dependencies.js';
import { errorOf } from './plain-error.js';
import type { ManagerStatus, ProjectionStatus } from './projection-runner.js';

/** The statuses that metrics show while the projections do not answer. Outdated figures would look like good ones. */
const UNKNOWN = { projections: [], managers: [] };

/** Starts and stops the projections and process managers, and shows how they are getting on: readiness and metrics. */
@Module({})
export class ProjectorModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  static with(dependencies: ProjectorDependencies): DynamicModule {
    return { module: ProjectorModule, providers: [{ provide: DEPENDENCIES, useValue: dependencies }] };
  }

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: ProjectorDependencies,
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
    this.dependencies.projections.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.dependencies.projections.stop();
  }

  /**
   * Throws until this code's version of the projection has a served build (a copy of its documents that queries read),
   * and the build's checkpoint was found in the log. Also throws if the projection had to stop, and while it waits for a
   * store.
   */
  private async requireServed(projection: Projection): Promise<void> {
    const { projections } = await this.dependencies.projections.status();
    const failure = projections.find(({ name }) => name === projection.name)?.failure;
    if (failure) throw errorOf(failure);
    await this.dependencies.readModels.at(projection);
  }

  /** Throws while a process manager waits for a store. Throws `Degraded` while work fails again and again. */
  private async requireManaged(): Promise<void> {
    const { managers } = await this.dependencies.projections.status();
    for (const { outage, degradation } of managers) {
      if (outage) throw errorOf(outage);
      if (degradation) {
        const { message, cause } = errorOf(degradation);
        throw new Degraded(message, { cause });
      }
    }
  }

  private measure(): void {
    const { registry } = this;
    const status = () => this.dependencies.projections.status().catch(() => UNKNOWN);
    const gauge = (name: string, help: string, value: (status: ProjectorOf) => number | undefined) =>
      new Gauge({
        name,
        help,
        labelNames: ['projection'],
        registers: [registry],
        async collect() {
          const { projections } = await status();
          // Without this call, the metrics of this process would keep the last values of a projection that another
          // process has taken over.
          this.reset();
          for (const { name: projection, projector } of projections) {
            const measured = projector && value(projector);
            if (measured !== undefined) this.set({ projection }, measured);
          }
        },
      });
    const managerGauge = (name: string, help: string, value: (status: ManagerStatus) => number) =>
      new Gauge({
        name,
        help,
        labelNames: ['manager'],
        registers: [registry],
        async collect() {
          const { managers } = await status();
          this.reset();
          for (const manager of managers) this.set({ manager: manager.name }, value(manager));
        },
      });
    managerGauge('process_manager_failing', 'Pieces of work that have failed and are tried again', (s) => s.failing);
    managerGauge(
      'process_manager_failing_for_long',
      'Pieces of work that have failed ten times or more',
      (s) => s.failingForLong,
    );
    new Counter({
      name: 'process_manager_failed_attempts_total',
      help: 'Attempts at pieces of work that have failed',
      labelNames: ['manager'],
      registers: [registry],
      async collect() {
        const { managers } = await status();
        this.reset();
        for (const { name: manager, failedAttempts } of managers) this.inc({ manager }, failedAttempts);
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

type ProjectorOf = NonNullable<ProjectionStatus['projector']>;
