import { Histogram } from 'prom-client';
import { createLogger, Registry } from '#platform';
import { requestObserver } from './request-observer.js';

/** The histogram of the library, as the reference. */
const referenceIn = (registry: Registry) =>
  new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the request to the end of its answer',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });

test('durations are exposed exactly as a histogram of the library exposes them', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const observe = requestObserver(ours, createLogger('silent'));
  const reference = referenceIn(theirs);
  expect(await ours.metrics()).toBe(await theirs.metrics());
  for (const route of ['/login', '/gateway/check']) {
    for (const [method, status] of [
      ['POST', 200],
      ['POST', 401],
      ['GET', 200],
    ] as const) {
      for (const milliseconds of [0.5, 0, 1, 1.1, 2.5, 7, 100, 9_999, 10_000, 10_001, 60_000]) {
        observe({ id: 'request-1', method, route, status, milliseconds });
        reference.observe({ method, route, status }, milliseconds / 1000);
      }
    }
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});
