import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import type { FastifyRequest } from 'fastify';
import { type ConsistencyToken, parseConsistencyToken } from '#event-log';
import { validationFailed } from '#platform';

export const MAX_PAGE = 200;
const DEFAULT_PAGE = 50;

/** Validates the number of items of a page. */
export const IsPageSize = () =>
  applyDecorators(
    IsOptional(),
    Transform(({ value }: { value: unknown }) =>
      typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : value,
    ),
    IsInt(),
    Min(1),
    Max(MAX_PAGE),
  );

/** Cursors are opaque: this one is for the examples of the OpenAPI document. */
export const EXAMPLE_CURSOR = 'eyJhZnRlciI6ImNjXzRmVDBrcTl3WnIxc1ZiN1h5TjJtTHAifQ';

/** Query parameters that every list accepts. */
export class PageQueryParameters {
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE })
  @IsPageSize()
  limit?: number;

  @ApiPropertyOptional({
    maxLength: 2048,
    description: '`nextCursor` of the page before, with the same filters and sort',
  })
  @IsOptional()
  @IsString()
  @MaxLength(2048)
  cursor?: string;

  @ApiPropertyOptional({ enum: ['asc', 'desc'], default: 'asc' })
  @IsOptional()
  @IsIn(['asc', 'desc'])
  order?: 'asc' | 'desc';
}

/** Returns the paging part of a read-model query. */
export const pageOf = ({ limit = DEFAULT_PAGE, cursor }: PageQueryParameters) => ({
  limit,
  ...(cursor !== undefined && { cursor }),
});

/**
 * Injects the `X-Consistency-Token` header of a query. The query waits until the read model has reached the log
 * position that the token names.
 */
export const ConsistencyTokenParameter = createParamDecorator(
  (_: unknown, context: ExecutionContext): ConsistencyToken | undefined => {
    const header = context.switchToHttp().getRequest<FastifyRequest>().headers['x-consistency-token'];
    if (header === undefined) return undefined;
    const token = typeof header === 'string' ? parseConsistencyToken(header) : undefined;
    if (token) return token;
    throw validationFailed({ field: 'X-Consistency-Token', message: 'must be as a command answered it' });
  },
);
