import { LogUnavailable } from '#event-log';
import { createLogger } from '#platform';
import type { FastRequest } from '../http/fast-path.js';
import type { CheckAnswer } from './gateway-check.js';
import { gatewayHandler } from './gateway-route.js';

const asked = (answer: () => CheckAnswer, counts: Record<string, number> = {}) => {
  const check = { check: () => Promise.resolve().then(answer) };
  const request = { id: 'r1', method: 'GET', target: '/gateway/check', rawHeaders: [] } as unknown as FastRequest;
  return gatewayHandler({ check, logger: createLogger('silent'), refusals: 'marketplace', counts })(request);
};

it('every failure is 503, and is counted', async () => {
  const counts = {};
  const unavailable = {
    status: 503,
    headers: ['cache-control', 'no-store', 'retry-after', '1', 'x-auth-code', 'UNAVAILABLE'],
    facts: { authCode: 'UNAVAILABLE' },
  };
  await expect(
    asked(() => {
      throw new LogUnavailable('The event log is closed');
    }, counts),
  ).resolves.toEqual(unavailable);
  await expect(
    asked(() => {
      throw new TypeError('A mistake of ours');
    }, counts),
  ).resolves.toEqual(unavailable);
  expect(counts).toEqual({ UNAVAILABLE: 2 });
});
