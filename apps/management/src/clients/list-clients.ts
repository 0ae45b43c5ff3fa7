import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { type AuthenticationType, type SubscriptionId, subscriptionNotFound, type WorkspaceId } from '#domain';
import type { ConsistencyToken } from '#event-log';
import { validationFailed } from '#platform';
import { type DocumentOf, projections, searchKey } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { type AnswerForm, form } from '../requests/api-documentation.js';
import { EXAMPLE_CURSOR, pageOf, PageQueryParameters } from '../requests/query-request.js';
import { ClientView, EXAMPLE_CLIENT, storedClientView } from './client.js';

const { clients, subscriptions, usage } = projections;

type ClientSort = keyof typeof clients.list.sorts;

export class ListClientsParameters extends PageQueryParameters {
  @ApiPropertyOptional({
    ...{ enum: ['active', 'revoked', 'all'], default: 'active' },
    description: 'Which of the two tables, or both of them in one list',
  })
  @IsOptional()
  @IsIn(['active', 'revoked', 'all'])
  status?: 'active' | 'revoked' | 'all';

  @ApiPropertyOptional({
    description: 'Names that begin so, whatever their case and accents; sorted by name',
    example: 'fore',
  })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  name?: string;

  @ApiPropertyOptional({ enum: ['API_KEY', 'OAUTH2'] })
  @IsOptional()
  @IsIn(['API_KEY', 'OAUTH2'])
  authenticationType?: AuthenticationType;

  @ApiPropertyOptional({
    pattern: '^[A-Za-z0-9_-]{1,64}$',
    description: 'Only clients that are assigned to this subscription; 404 if the workspace has no such subscription',
    example: 'sub_weather_1',
  })
  @IsOptional()
  @IsString()
  @Matches(/^[A-Za-z0-9_-]{1,64}$/)
  subscriptionId?: SubscriptionId;

  @ApiPropertyOptional({ enum: Object.keys(clients.list.sorts), default: 'createdAt' })
  @IsOptional()
  @IsIn(Object.keys(clients.list.sorts))
  sort?: ClientSort;
}

export class ClientPage {
  @ApiProperty({ type: [ClientView] })
  items!: ClientView[];

  @ApiPropertyOptional({ description: 'Absent on the last page', example: EXAMPLE_CURSOR })
  nextCursor?: string;
}

/** The form of the answers that list clients. */
export const CLIENT_PAGE_FORMS: readonly [AnswerForm] = [
  form(ClientPage, {
    page: { items: [EXAMPLE_CLIENT], nextCursor: EXAMPLE_CURSOR },
    lastPage: { items: [EXAMPLE_CLIENT] },
    empty: { items: [] },
  }),
];

/**
 * Asks for a page of a workspace's active or revoked clients, or of both. With `subscriptionId`, the page lists only clients that
 * are assigned to that subscription.
 */
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
    const { readModels, clock, book } = this.dependencies;
    // No token for `usage`: uses are recorded once a minute, so waiting would not make `lastUsedAt` current.
    const [readModel, usages] = await Promise.all([readModels.at(clients, token), readModels.at(usage)]);
    const page = await readModel.page({
      equals: {
        workspaceId,
        ...(status !== 'all' && { status: status === 'active' ? 'ACTIVE' : 'REVOKED' }),
        ...(authenticationType && { authenticationType }),
      },
      // Clients pass from the first table to the second one, and never back.
      ...(status === 'all' && { anyOf: { field: 'status', values: ['ACTIVE', 'REVOKED'] } }),
      ...(name !== undefined && { prefix: { field: clients.list.prefix.name, value: searchKey(name) } }),
      ...(subscriptionId !== undefined && {
        contains: { field: clients.list.contains.subscriptionId, value: subscriptionId },
      }),
      sort: { field: clients.list.sorts[sortOf(parameters)], direction: order },
      ...pageOf(parameters),
    });
    const [usageById, quarantines] = await Promise.all([
      usages.getAll(page.items.map(({ id }) => id)),
      book.quarantines.inForceOrLastKnown(),
    ]);
    const at = clock().toISOString();
    const viewOf = (found: DocumentOf<typeof clients>) =>
      storedClientView(found, usageById.get(found.id), quarantines, at);
    return { ...page, items: page.items.map(viewOf) };
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
