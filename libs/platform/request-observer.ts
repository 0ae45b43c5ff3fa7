import type { Histogram, Registry } from 'prom-client';
import type { Logger } from './logging.js';
import { loggedPath, type RequestFacts, traceIdOf } from './request-facts.js';

/** A request that has been answered. */
export interface AnsweredRequest {
  readonly id: string;
  readonly method: string;
  /** The pattern of the route, not the URL: a URL may contain secrets. */
  readonly route: string;
  readonly status: number;
  readonly milliseconds: number;
  /** The request target. It may contain secrets, so only the path of a 404 is logged, as `loggedPath` returns it. */
  readonly target: string;
  /** The header `traceparent`, not yet checked. */
  readonly traceparent?: string | readonly string[] | undefined;
  readonly facts?: RequestFacts | undefined;
}

export type RequestObserver = (answered: AnsweredRequest) => void;

/** Machines call these routes every few seconds, so their requests are logged at `debug`. */
const QUIET_ROUTES = new Set(['/health/live', '/health/ready', '/metrics']);

/**
 * Measures each answer by method, route pattern and status (`http_request_duration_seconds`), and logs one line for
 * each answer. The line contains no query, header or body, because these may contain secrets.
 */
export function requestObserver(registry: Registry, logger: Logger): RequestObserver {
  const durations = new RequestDurations();
  // The registry calls only `get`, although its type asks for one of the library's own classes.
  registry.registerMetric(durations as unknown as Histogram);
  return (answered) => {
    durations.observe(answered);
    const { id, method, route, status, milliseconds, target, traceparent, facts } = answered;
    const level = QUIET_ROUTES.has(route) ? 'debug' : 'info';
    if (!logger.isLevelEnabled(level)) return;
    const line = {
      ...{ requestId: id, traceId: traceparent === undefined ? undefined : traceIdOf(traceparent) },
      ...{ method, route, path: status === 404 ? loggedPath(target) : undefined },
      ...{ status, ms: Math.round(milliseconds) },
      ...facts,
    };
    logger[level](line, 'request');
  };
}

/** The answers with one combination of labels. */
interface Series {
  readonly labels: Readonly<Pick<AnsweredRequest, 'method' | 'route' | 'status'>>;
  /** The number of answers in each bucket. The last element counts the answers that are slower than all buckets. */
  readonly counts: number[];
  seconds: number;
}

/** Upper bounds in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * A histogram in the form that the registry reads. The library's own `Histogram` makes several objects and a text for
 * each observation, which takes as long as a tenth of our work in a gateway check.
 */
class RequestDurations {
  readonly name = 'http_request_duration_seconds';
  readonly help = 'Time from the request to the end of its answer';
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  private readonly seriesByRoute = new Map<string, Series[]>();

  observe({ method, route, status, milliseconds }: AnsweredRequest): void {
    let series: Series | undefined;
    for (const known of this.seriesByRoute.get(route) ?? []) {
      if (known.labels.status === status && known.labels.method === method) series = known;
    }
    series ??= this.start(method, route, status);
    const seconds = milliseconds / 1000;
    let bucket = 0;
    while (seconds > (BUCKETS[bucket] ?? Infinity)) bucket += 1;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.seconds += seconds;
  }

  get() {
    const { name, help, type, aggregator } = this;
    const values = [...this.seriesByRoute.values()].flat().flatMap((series) => this.valuesOf(series));
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  private start(method: string, route: string, status: number): Series {
    const counts = Array.from({ length: BUCKETS.length + 1 }, () => 0);
    const series = { labels: { method, route, status }, counts, seconds: 0 };
    this.seriesByRoute.set(route, [...(this.seriesByRoute.get(route) ?? []), series]);
    return series;
  }

  /** A bucket of Prometheus counts the answers of all faster buckets, too. */
  private valuesOf({ labels, counts, seconds }: Series) {
    let sum = 0;
    const buckets = counts.map((count, i) => {
      sum += count;
      return { metricName: `${this.name}_bucket`, labels: { le: BUCKETS[i] ?? '+Inf', ...labels }, value: sum };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: seconds },
      { metricName: `${this.name}_count`, labels, value: sum },
    ];
  }
}
