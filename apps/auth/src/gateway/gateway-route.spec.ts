import { METHODS } from 'node:http';
import Fastify, { type FastifyInstance } from 'fastify';
import { LogUnavailable } from '#event-log';
import type { CheckAnswer, GatewayCheck } from './gateway-check.js';
import { gatewayRoute } from './gateway-route.js';

let answer: () => CheckAnswer;
let fastify: FastifyInstance;

beforeEach(() => {
  fastify = Fastify();
  gatewayRoute(fastify, { check: () => Promise.resolve().then(() => answer()) } as unknown as GatewayCheck);
});
afterEach(() => fastify.close());

const asked = async (method = 'GET') => {
  const { statusCode, headers, body } = await fastify.inject({ method: method, url: '/gateway/check' });
  return { status: statusCode, code: headers['x-auth-code'], cacheControl: headers['cache-control'], body };
};

it.each(METHODS.filter((method) => method !== 'CONNECT'))('%s is answered', async (method) => {
  answer = () => ({ code: 'EXPIRED' });
  expect(await asked(method)).toEqual({ status: 403, code: 'EXPIRED', cacheControl: 'no-store', body: '' });
});

it('whatever goes wrong is 503', async () => {
  answer = () => {
    throw new LogUnavailable('The event log is closed');
  };
  expect(await asked()).toEqual({ status: 503, code: 'UNAVAILABLE', cacheControl: 'no-store', body: '' });
  answer = () => {
    throw new TypeError('A mistake of ours');
  };
  expect(await asked()).toMatchObject({ status: 503, code: 'UNAVAILABLE' });
});
