import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, MaxLength } from 'class-validator';
import { type AuthenticationType, type SubscriptionId, type WorkspaceId, subscriptionNotFound } from '#domain';
import type { ConsistencyToken } from '#event-log';
import { validationFailed } from '#platform';
import { clientList, clients, searchKey, subscriptions } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { PageQueryParameters, pageOf } from '../requests/page-query.js';
import { ClientView, storedClientView } from './client.js';

type ClientSort = keyof typeof clientList.sorts;

export class ListClientsParameters extends PageQueryParameters {
  @ApiPropertyOptional({ enum: ['active', 'revoked'], default: 'active', description: 'Which of the two tables' })
  @IsOptional()
  @IsIn(['active', 'revoked'])
  status?: 'active' | 'revoked';

  @ApiPropertyOptional({ description: 'Names that begin so, whatever their case; sorted by name', example: 'fore' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  name?: string;

  @ApiPropertyOptional({ enum: ['API_KEY', 'OAUTH2'] })
  @IsOptional()
  @IsIn(['API_KEY', 'OAUTH2'])
  authenticationType?: AuthenticationType;

  @ApiPropertyOptional({ enum: Object.keys(clientList.sorts), default: 'createdAt' })
  @IsOptional()
  @IsIn(Object.keys(clientList.sorts))
  sort?: ClientSort;
}

export class ClientPage {
  @ApiProperty({ type: [ClientView] })
  items!: ClientView[];

  @ApiPropertyOptional({ description: 'Absent on the last page' })
  nextCursor?: string;
}

/** One of the two tables of a workspace, or those of its active clients that use one subscription. */
export class ListClients extends Query<ClientPage> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly parameters: ListClientsParameters,
    readonly token: ConsistencyToken | undefined,
    readonly subscriptionId?: SubscriptionId,
  ) {
    super();
  }
}

@QueryHandler(ListClients)
export class ListClientsHandler implements IQueryHandler<ListClients> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, parameters, token, subscriptionId }: ListClients): Promise<ClientPage> {
    const { status = 'active', name, authenticationType, order = 'asc' } = parameters;
    if (subscriptionId !== undefined) await this.requireSubscription(workspaceId, subscriptionId, token);
    const readModel = await this.dependencies.readModels.at(clients, token);
    const page = await readModel.page({
      equals: {
        workspaceId,
        status: status === 'active' ? 'ACTIVE' : 'REVOKED',
        ...(authenticationType && { authenticationType }),
      },
      ...(name !== undefined && { prefix: { field: clientList.prefix.name, value: searchKey(name) } }),
      ...(subscriptionId !== undefined && {
        contains: { field: clientList.contains.subscriptionId, value: subscriptionId },
      }),
      sort: { field: clientList.sorts[sortOf(parameters)], direction: order },
      ...pageOf(parameters),
    });
    const at = this.dependencies.clock().toISOString();
    return { ...page, items: page.items.map((found) => storedClientView(found, at)) };
  }

  private async requireSubscription(workspaceId: WorkspaceId, id: SubscriptionId, token: ConsistencyToken | undefined) {
    const subscription = await (await this.dependencies.readModels.at(subscriptions, token)).get(id);
    if (subscription?.doc.workspaceId !== workspaceId) throw subscriptionNotFound();
  }
}

function sortOf({ name, sort, status }: ListClientsParameters): ClientSort {
  if (name !== undefined && sort !== undefined && sort !== 'name') {
    throw validationFailed({ field: 'sort', message: 'must be name where names are searched' });
  }
  if (sort === 'revokedAt' && status !== 'revoked') {
    throw validationFailed({ field: 'sort', message: 'revokedAt is of the revoked table: status=revoked' });
  }
  return sort ?? (name === undefined ? 'createdAt' : 'name');
}
