import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString } from 'class-validator';
import { MAX_REASON_LENGTH, type SubscriptionCommand, type SubscriptionId, subscriptionNotFound } from '#domain';
import type { CommandRequest, ConsistencyToken } from '#event-log';
import { projections } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { IsPageSize, MAX_PAGE } from '../requests/query-request.js';
import type { Preview } from '../requests/response-headers.js';
import { IsNotTooLong } from '../requests/text-length.js';

const { clients } = projections;

export class EndSubscriptionQuery {
  @ApiPropertyOptional({
    minLength: 1,
    maxLength: 500,
    description: 'Kept in the history',
    example: 'The contract is over',
  })
  @IsOptional()
  @IsString()
  @IsNotTooLong(MAX_REASON_LENGTH)
  reason?: string;

  @ApiPropertyOptional({ enum: ['true', 'false'], default: 'false', description: 'Only show what the end would do' })
  @IsOptional()
  @IsIn(['true', 'false'])
  dryRun?: 'true' | 'false';

  @ApiPropertyOptional({
    ...{ type: 'integer', minimum: 1, maximum: MAX_PAGE, default: MAX_PAGE },
    description: 'How many clients a dry run shows; only with dryRun=true',
  })
  @IsPageSize()
  limit?: number;
}

/** The clients that the end of a subscription would unassign. The list is empty if the subscription has ended. */
export class EndPreview {
  @ApiProperty({ type: [String], description: 'Ids of the first `limit` clients that are assigned' })
  wouldUnassign!: string[];

  @ApiPropertyOptional({ description: 'If there are more: the `cursor` for GET /v1/subscriptions/{id}/clients' })
  nextCursor?: string;
}

export class PreviewEnd extends Query<Preview<EndPreview>> {
  constructor(
    readonly subscriptionId: SubscriptionId,
    readonly command: Extract<SubscriptionCommand, { type: 'EndSubscription' }>,
    readonly request: CommandRequest,
    readonly limit: number,
    readonly token: ConsistencyToken | undefined,
  ) {
    super();
  }
}

/** Decides the end as the command does, so it is refused in the same cases. */
@QueryHandler(PreviewEnd)
export class PreviewEndHandler implements IQueryHandler<PreviewEnd> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ subscriptionId, command, request, limit, token }: PreviewEnd): Promise<Preview<EndPreview>> {
    const { book, readModels } = this.dependencies;
    const { state, revision } = await book.subscriptions.preview(subscriptionId, command, request);
    if (state.status === 'UNREGISTERED' || revision === undefined) throw subscriptionNotFound();
    if (state.status === 'ENDED') return { effect: { wouldUnassign: [] }, revision };
    // The same list as that of GET /v1/subscriptions/{id}/clients, so that its route takes the cursor.
    const readModel = await readModels.at(clients, token);
    const { items, ...rest } = await readModel.page({
      equals: { workspaceId: command.workspaceId, status: 'ACTIVE' },
      contains: { field: clients.list.contains.subscriptionId, value: subscriptionId },
      sort: { field: clients.list.sorts.createdAt, direction: 'asc' },
      limit,
    });
    return { effect: { wouldUnassign: items.map(({ id }) => id), ...rest }, revision };
  }
}
