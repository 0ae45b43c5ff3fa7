import { Histogram } from 'prom-client';
import { createLogger, Registry } from '#platform';
import { loggedText } from './request-facts.js';
import { type AnsweredRequest, requestObserver } from './request-observer.js';

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
        observe({ id: 'request-1', method, route, status, milliseconds, target: route });
        reference.observe({ method, route, status }, milliseconds / 1000);
      }
    }
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});

describe('the log line of a request', () => {
  /** Returns the line of an answer that differs from the usual one in `answered`. */
  const lineOf = (answered: Partial<AnsweredRequest>): unknown => {
    let line = '';
    const logger = createLogger('info', { write: (text) => (line += text) });
    const usual = {
      id: 'request-1',
      method: 'GET',
      route: 'unknown',
      status: 200,
      milliseconds: 1.4,
      target: '/x?y=z',
    };
    requestObserver(new Registry(), logger)({ ...usual, ...answered });
    return JSON.parse(line);
  };
  const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

  it('says what the handlers found out', () => {
    const facts = { workspaceId: 'acme', clientId: 'cc_1', claimedClientId: undefined, endpoint: 'weather' };
    expect(lineOf({ facts: { ...facts, error: 'unauthorized_client', reason: 'ENDED' } })).toEqual({
      ...{ level: 'info', time: expect.any(String) as string, requestId: 'request-1', msg: 'request' },
      ...{ method: 'GET', route: 'unknown', status: 200, ms: 1 },
      ...{ workspaceId: 'acme', clientId: 'cc_1', endpoint: 'weather', error: 'unauthorized_client', reason: 'ENDED' },
    });
  });

  it.each([
    ['/v1/clientz/cc_1?access_token=secret#part', '/v1/clientz/cc_1'],
    ['/a#secret', '/a'],
    ['/caf\u00e9/\r\n\u0085"\u202e', '/caf%C3%A9/%0D%0A%C2%85"%E2%80%AE'],
    ['/half \ud83d', '/half%20%EF%BF%BD'],
    [`/${'a/'.repeat(500)}`, `/${'a/'.repeat(99)}a…`],
    [`/login/ccs_${'a'.repeat(52)}/x`, '/login/[redacted]/x'],
    ['/login/%63cs_a', '/login/[redacted]'],
    ['/login/%2563cs%255Fa/%zz', '/login/[redacted]/%zz'],
    ['/cca_a/Y2NfYQ/eyJhbGciOiJFZERTQSJ9.e30.c2ln', '/[redacted]/[redacted]/[redacted]'],
    [`/v1/${'q'.repeat(65)}/${'q'.repeat(64)}`, `/v1/[redacted]/${'q'.repeat(64)}`],
  ])('of a 404 has its path, without query and secrets: %j', (target, path) => {
    expect(lineOf({ target, status: 404 })).toMatchObject({ path });
    expect(lineOf({ target, status: 400 })).not.toHaveProperty('path');
  });

  it.each([
    `00-${TRACE_ID}-00f067aa0ba902b7-01`,
    `00-${TRACE_ID}-00f067aa0ba902b7-ff`,
    `cc-${TRACE_ID}-00f067aa0ba902b7-01`,
    `cc-${TRACE_ID}-00f067aa0ba902b7-01-of-a-later-version`,
  ])('has the trace id of a valid traceparent: %s', (traceparent) => {
    expect(lineOf({ traceparent })).toMatchObject({ traceId: TRACE_ID });
  });

  it.each([
    '',
    TRACE_ID,
    `00-${TRACE_ID}-00f067aa0ba902b7-01-more`,
    `00-${TRACE_ID}-00f067aa0ba902b7-01-`,
    `00-${TRACE_ID}-00f067aa0ba902b7-01x`,
    `ff-${TRACE_ID}-00f067aa0ba902b7-01`,
    `cc-${TRACE_ID}-00f067aa0ba902b7-01.more`,
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
    `00-${TRACE_ID.toUpperCase()}-00f067aa0ba902b7-01`,
    `00-${TRACE_ID}-00f067aa0ba902b7-0`,
    ` 00-${TRACE_ID}-00f067aa0ba902b7-01`,
    `00-${TRACE_ID}-00f067aa0ba902b7-01, 00-${TRACE_ID}-00f067aa0ba902b7-01`,
  ])('has no trace id of an invalid traceparent: %s', (traceparent) => {
    expect(lineOf({ traceparent })).not.toHaveProperty('traceId');
  });

  it('has texts of callers bounded, and without invisible characters', () => {
    expect(loggedText('Zoë from\u2028here\u0007\u202e')).toBe('Zoë from%E2%80%A8here%07%E2%80%AE');
    expect(loggedText('s'.repeat(255))).toBe(`${'s'.repeat(200)}…`);
  });
});
