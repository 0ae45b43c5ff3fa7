import { type Answer, send } from '../api/http.js';
import { metricOf } from '../api/metrics.js';
import { type Environment, Program } from './program.js';

export type ServiceName = 'management' | 'auth' | 'projector';

export interface Readiness {
  readonly status: string;
  readonly checks: Readonly<Record<string, 'up' | 'degraded' | 'down'>>;
}

/** A real management, auth or projector process. */
export class Service extends Program {
  /** Starts the process. Resolves when the process listens. `release` is the folder of another release to run. */
  static start(name: ServiceName, env: Environment, release?: string): Promise<Service> {
    return Service.launch(name, { env: { LOG_LEVEL: 'info', ...env }, release });
  }

  /** Starts the process. Resolves when the process is ready. */
  static async startReady(name: ServiceName, env: Environment): Promise<Service> {
    const service = await Service.start(name, env);
    await service.ready();
    return service;
  }

  readiness(): Promise<Answer<Readiness>> {
    return send<Readiness>('GET', this.url, '/health/ready');
  }

  /** See `metricOf`. */
  metric(name: string): Promise<number | undefined> {
    return metricOf(this.url, name);
  }
}
