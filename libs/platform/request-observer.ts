import { Histogram, type Registry } from 'prom-client';
import type { Logger } from './logging.js';

/** A request that has been answered. */
export interface AnsweredRequest {
  readonly id: string;
  readonly method: string;
  /** The pattern of the route, not the URL: a URL may contain secrets. */
  readonly route: string;
  readonly status: number;
  readonly milliseconds: number;
}

export type RequestObserver = (answered: AnsweredRequest) => void;

/** Machines call these routes every few seconds, so their requests are logged at `debug`. */
const QUIET_ROUTES = new Set(['/health/live', '/health/ready', '/metrics']);

/**
 * Measures each answer by method, route pattern and status (`http_request_duration_seconds`), and logs one line for
 * each answer. The line contains no URL, header or body, because these may contain secrets.
 */
export function requestObserver(registry: Registry, logger: Logger): RequestObserver {
  const durations = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the request to the end of its answer',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  return ({ id, method, route, status, milliseconds }) => {
    durations.observe({ method, route, status }, milliseconds / 1000);
    const level = QUIET_ROUTES.has(route) ? 'debug' : 'info';
    if (!logger.isLevelEnabled(level)) return;
    logger[level]({ requestId: id, method, route, status, ms: Math.round(milliseconds) }, 'request');
  };
}
