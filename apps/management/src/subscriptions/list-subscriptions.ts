import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, MaxLength } from 'class-validator';
import type { WorkspaceId } from '#domain';
import type { ConsistencyToken } from '#event-log';
import { validationFailed } from '#platform';
import { projections, searchKey } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { EXAMPLE_CURSOR, pageOf, PageQueryParameters } from '../requests/query-request.js';
import { storedSubscriptionView, SubscriptionView } from './subscription.js';

const { subscriptions } = projections;

type SubscriptionSort = keyof typeof subscriptions.list.sorts;

export class ListSubscriptionsParameters extends PageQueryParameters {
  @ApiPropertyOptional({ enum: ['live', 'ended'], description: 'Absent: both' })
  @IsOptional()
  @IsIn(['live', 'ended'])
  status?: 'live' | 'ended';

  @ApiPropertyOptional({ description: 'Service names that begin so, whatever their case and accents; sorted by name' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  serviceName?: string;

  @ApiPropertyOptional({ enum: Object.keys(subscriptions.list.sorts), default: 'registeredAt' })
  @IsOptional()
  @IsIn(Object.keys(subscriptions.list.sorts))
  sort?: SubscriptionSort;
}

export class SubscriptionPage {
  @ApiProperty({ type: [SubscriptionView] })
  items!: SubscriptionView[];

  @ApiPropertyOptional({ description: 'Absent on the last page', example: EXAMPLE_CURSOR })
  nextCursor?: string;
}

export class ListSubscriptions extends Query<SubscriptionPage> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly parameters: ListSubscriptionsParameters,
    readonly token: ConsistencyToken | undefined,
  ) {
    super();
  }
}

@QueryHandler(ListSubscriptions)
export class ListSubscriptionsHandler implements IQueryHandler<ListSubscriptions> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, parameters, token }: ListSubscriptions): Promise<SubscriptionPage> {
    const { status, serviceName, order = 'asc' } = parameters;
    const { readModels, book } = this.dependencies;
    const readModel = await readModels.at(subscriptions, token);
    const page = await readModel.page({
      equals: { workspaceId, ...(status && { status: status === 'live' ? 'LIVE' : 'ENDED' }) },
      ...(serviceName !== undefined && {
        prefix: { field: subscriptions.list.prefix.serviceName, value: searchKey(serviceName) },
      }),
      sort: { field: subscriptions.list.sorts[sortOf(parameters)], direction: order },
      ...pageOf(parameters),
    });
    const quarantines = await book.quarantines.inForceOrLastKnown();
    return { ...page, items: page.items.map((found) => storedSubscriptionView(found, quarantines)) };
  }
}

function sortOf({ serviceName, sort }: ListSubscriptionsParameters): SubscriptionSort {
  if (serviceName !== undefined && sort !== undefined && sort !== 'serviceName') {
    throw validationFailed({ field: 'sort', message: 'must be serviceName where service names are searched' });
  }
  return sort ?? (serviceName === undefined ? 'registeredAt' : 'serviceName');
}
