import { LogUnavailable } from '#event-log';
import { FastRequest, createLogger } from '#platform';
import type { CheckAnswer } from './gateway-check.js';
import { gatewayRoute } from './gateway-route.js';

const asked = (answer: () => CheckAnswer) => {
  const check = { check: () => Promise.resolve().then(answer) };
  const request = { id: 'r1', method: 'GET', target: '/gateway/check', rawHeaders: [] } as unknown as FastRequest;
  return gatewayRoute(check, createLogger('silent')).answer(request);
};

it('whatever goes wrong is 503', async () => {
  const unavailable = { status: 503, headers: ['cache-control', 'no-store', 'x-auth-code', 'UNAVAILABLE'] };
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

it('answers its path and whatever follows it, and no other', () => {
  const route = gatewayRoute({ check: () => Promise.reject(new Error()) }, createLogger('silent'));
  const paths = ['/gateway/check', '/gateway/check/', '/gateway/check/weather/..%2f', '/gateway/checks', '/gateway'];
  expect(paths.filter((path) => route.matches(path))).toEqual(paths.slice(0, 3));
});
