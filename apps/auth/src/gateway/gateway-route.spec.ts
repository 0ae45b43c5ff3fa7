import { LogUnavailable } from '#event-log';
import { createLogger } from '#platform';
import type { FastRequest } from '../http/fast-path.js';
import type { CheckAnswer } from './gateway-check.js';
import { gatewayHandler } from './gateway-route.js';

const asked = (answer: () => CheckAnswer) => {
  const check = { check: () => Promise.resolve().then(answer) };
  const request = { id: 'r1', method: 'GET', target: '/gateway/check', rawHeaders: [] } as unknown as FastRequest;
  return gatewayHandler({ check, logger: createLogger('silent'), refusals: 'marketplace' })(request);
};

it('every failure is 503', async () => {
  const unavailable = {
    status: 503,
    headers: ['cache-control', 'no-store', 'retry-after', '1', 'x-auth-code', 'UNAVAILABLE'],
  };
  await expect(
    asked(() => {
      throw new LogUnavailable('The event log is closed');
    }),
  ).resolves.toEqual(unavailable);
  await expect(
    asked(() => {
      throw new TypeError('A mistake of ours');
    }),
  ).resolves.toEqual(unavailable);
});
