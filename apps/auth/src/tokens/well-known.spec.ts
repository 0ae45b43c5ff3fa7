import { LogUnavailable } from '#event-log';
import { createLogger } from '#platform';
import type { FastRequest } from '../http/fast-path.js';
import { problemHandler } from '../http/problem-route.js';
import { jwksHandler, metadataOf } from './well-known.js';

test('a node that knows no issuer of management tokens offers no introspection with one', () => {
  expect(metadataOf({ issuer: 'https://auth.example.com', managementTokens: undefined })).toMatchObject({
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
  });
});

test.each([
  [new LogUnavailable('ECONNREFUSED 10.0.0.1'), 503, 'LOG_UNAVAILABLE', ['Retry-After', '1']],
  [new TypeError('A mistake of ours'), 500, 'INTERNAL', []],
])('key sets that cannot be read are problem details: %s', async (error, status, code, headers) => {
  const ring = { state: () => Promise.reject(error) } as never;
  const handler = problemHandler(jwksHandler({ ring, now: () => '2026-03-01T10:00:00.000Z' }), createLogger('silent'));
  const answer = await handler({ id: 'r1', headers: {} } as FastRequest);
  expect(answer).toMatchObject({ status, headers: [...headers, 'content-type', 'application/problem+json'] });
  expect(JSON.parse(answer.body ?? '')).toMatchObject({ status, code, requestId: 'r1' });
  expect(answer.body).not.toContain(error.message);
});
