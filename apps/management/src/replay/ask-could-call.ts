import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsInt, IsString, Matches, Max, Min } from 'class-validator';
import type { AuthenticationType, WorkspaceId } from '#domain';
import { MayBeAbsent } from '#platform';
import { projections } from '#read-models';
import { couldCall, type Damage, pastMomentOf, tokenUpTo } from '#replay';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { instantOf, IsDateTime } from '../requests/date-time.js';
import { POSITION } from '../requests/position.js';
import { MAX_PAGE } from '../requests/query-request.js';

const DEFAULT_PAGE = 50;
const EXAMPLE_POSITION = '00000000000000004711';

@ApiSchema({ name: 'CouldCall' })
export class CouldCallBody {
  @ApiProperty({ pattern: '^[a-z0-9][a-z0-9-]{2,62}$', example: 'acme-weather' })
  @IsString()
  @Matches(/^[a-z0-9][a-z0-9-]{2,62}$/, { message: 'endpointUri must match [a-z0-9][a-z0-9-]{2,62}' })
  endpointUri!: string;

  @ApiPropertyOptional({ format: 'date-time', example: '2026-11-24T12:00:00Z', description: 'Default: now' })
  @MayBeAbsent()
  @IsDateTime()
  at?: string;

  @ApiPropertyOptional({
    pattern: POSITION.source,
    example: EXAMPLE_POSITION,
    description: 'A place in the whole log, instead of a moment: then `at` only says when the clock is read',
  })
  @MayBeAbsent()
  @Matches(POSITION, { message: 'position must have 20 digits' })
  position?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE })
  @MayBeAbsent()
  @IsInt()
  @Min(1)
  @Max(MAX_PAGE)
  limit?: number;

  @ApiPropertyOptional({
    pattern: POSITION.source,
    example: EXAMPLE_POSITION,
    description: '`nextCursor` of the page before, with the `at` and `position` that it answered',
  })
  @MayBeAbsent()
  @Matches(POSITION, { message: 'cursor must be a position of 20 digits' })
  cursor?: string;
}

@ApiSchema({ name: 'PastCaller' })
export class PastCallerView {
  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ example: 'Forecast importer' })
  name!: string;

  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  authenticationType!: AuthenticationType;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:05:00.000Z' })
  assignedAt!: string;

  @ApiProperty({
    type: 'array',
    items: { type: 'integer' },
    example: [1],
    description: 'The generations that were good',
  })
  generations!: readonly number[];
}

@ApiSchema({ name: 'UnreadableClient' })
export class UnreadableClientView {
  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ enum: ['UNREADABLE', 'QUARANTINED'] })
  reason!: Damage;
}

@ApiSchema({ name: 'CouldCallAnswer' })
export class CouldCallAnswer {
  @ApiProperty({ example: 'acme-weather' })
  endpointUri!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T12:00:00.000Z' })
  at!: string;

  @ApiPropertyOptional({
    example: EXAMPLE_POSITION,
    description: 'The place that was asked for; without `at`: the end',
  })
  position?: string;

  @ApiProperty({ example: 'acme-weather' })
  subscriptionId!: string;

  @ApiProperty({ enum: ['LIVE', 'ENDED'], description: 'Of the subscription then. No client could call an ended one' })
  status!: 'LIVE' | 'ENDED';

  @ApiProperty({ type: [PastCallerView], description: 'In the order of their assignments' })
  items!: readonly PastCallerView[];

  @ApiProperty({
    type: [UnreadableClientView],
    description: 'Clients of this page that were assigned once, but whose history can’t be read: nobody can tell',
  })
  unreadable!: readonly UnreadableClientView[];

  @ApiPropertyOptional({ example: EXAMPLE_POSITION, description: 'Absent on the last page' })
  nextCursor?: string;
}

/** The answer, for the examples of the OpenAPI document. */
export const EXAMPLE_COULD_CALL: CouldCallAnswer = {
  ...{ endpointUri: 'acme-weather', at: '2026-11-24T12:00:00.000Z', subscriptionId: 'acme-weather', status: 'LIVE' },
  items: [
    {
      ...{ clientId: 'cc_4fT0kq9wZr1sVb7XyN2mLp', name: 'Forecast importer', authenticationType: 'API_KEY' },
      ...{ assignedAt: '2026-11-24T09:05:00.000Z', generations: [1] },
    },
  ],
  unreadable: [],
};

/** Asks which clients could have logged in at an endpoint of the workspace. */
export class AskCouldCall extends Query<CouldCallAnswer> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly body: CouldCallBody,
  ) {
    super();
  }
}

@QueryHandler(AskCouldCall)
export class AskCouldCallHandler implements IQueryHandler<AskCouldCall> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, body }: AskCouldCall): Promise<CouldCallAnswer> {
    const { book, readModels, clock } = this.dependencies;
    const { endpointUri, position, limit = DEFAULT_PAGE, cursor: after } = body;
    const asked = body.at === undefined ? undefined : instantOf(body.at);
    const moment = await pastMomentOf(book, { at: asked, position, now: clock().toISOString() });
    const histories = await readModels.at(projections.history, await tokenUpTo(book));
    const found = await couldCall(book, histories, { workspaceId, endpointUri, moment, after, limit });
    const { subscriptionId, status, callers, unreadable, next } = found;
    return {
      ...{ endpointUri, at: moment.at },
      ...(moment.basis.by === 'position' && { position: moment.basis.position }),
      ...{ subscriptionId, status, items: callers, unreadable },
      ...(next !== undefined && { nextCursor: next }),
    };
  }
}
