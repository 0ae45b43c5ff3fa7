import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type ConsistencyToken, parseConsistencyToken } from '#event-log';
import { validationFailed } from '#platform';

/** Injects the `X-Consistency-Token` of a query: it is answered only when the read model has come that far. */
export const ConsistencyTokenOf = createParamDecorator(
  (_: unknown, context: ExecutionContext): ConsistencyToken | undefined => {
    const header = context.switchToHttp().getRequest<FastifyRequest>().headers['x-consistency-token'];
    if (header === undefined) return undefined;
    const token = typeof header === 'string' ? parseConsistencyToken(header) : undefined;
    if (token) return token;
    throw validationFailed({ field: 'X-Consistency-Token', message: 'must be as a command answered it' });
  },
);
