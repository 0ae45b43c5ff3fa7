import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import {
  type AuthenticationType,
  EXTERNAL_ID,
  SUBSCRIPTION_ID,
  type SubscriptionId,
  subscriptionNotFound,
  type WorkspaceId,
} from '#domain';
import type { ConsistencyToken } from '#event-log';
import { validationFailed } from '#platform';
import { type DocumentOf, projections, searchKey } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { type AnswerForm, form } from '../requests/api-documentation.js';
import { EXAMPLE_CURSOR, pageOf, PageQueryParameters } from '../requests/query-request.js';
import { ClientView, EXAMPLE_CLIENT, storedClientView } from './client.js';
import { EXTERNAL_ID_FIELD } from './client-description.js';

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

  @ApiPropertyOptional({
    description: 'Names that contain this text, whatever their case and accents; sorted by name; not with `name`',
    example: 'cast',
  })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  nameContains?: string;

  @ApiPropertyOptional({ enum: ['API_KEY', 'OAUTH2'] })
  @IsOptional()
  @IsIn(['API_KEY', 'OAUTH2'])
  authenticationType?: AuthenticationType;

  @ApiPropertyOptional({
    ...EXTERNAL_ID_FIELD,
    description:
      'Only the client with this id in another system; with `status` and `sort=createdAt`, and no other filter',
  })
  @IsOptional()
  @IsString()
  @Matches(EXTERNAL_ID)
  externalId?: string;

  @ApiPropertyOptional({
    description: 'Only clients with this label, as `key:value`; not with `subscriptionId`',
    example: 'team:planning',
  })
  @IsOptional()
  @IsString()
  @MaxLength(300)
  @Matches(/^[^:]+:./s, { message: 'label must be key:value' })
  label?: string;

  @ApiPropertyOptional({
    pattern: SUBSCRIPTION_ID.source,
    description: 'Only clients that are assigned to this subscription; 404 if the workspace has no such subscription',
    example: 'sub_weather_1',
  })
  @IsOptional()
  @IsString()
  @Matches(SUBSCRIPTION_ID)
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
    const { status = 'active', name, nameContains, authenticationType, externalId, label, order = 'asc' } = parameters;
    requireOneSearch({ ...parameters, ...(subscriptionId !== undefined && { subscriptionId }) });
    if (subscriptionId !== undefined) await this.requireSubscription(workspaceId, subscriptionId, token);
    const { readModels, clock, book } = this.dependencies;
    // No token for `usage`: uses are recorded once a minute, so waiting would not make `lastUsedAt` current.
    const [readModel, usages] = await Promise.all([readModels.at(clients, token), readModels.at(usage)]);
    const page = await readModel.page({
      equals: {
        workspaceId,
        ...(status !== 'all' && { status: status === 'active' ? 'ACTIVE' : 'REVOKED' }),
        ...(authenticationType && { authenticationType }),
        ...(externalId !== undefined && { externalId }),
      },
      // Clients pass from the first table to the second one, and never back.
      ...(status === 'all' && { anyOf: { field: 'status', values: ['ACTIVE', 'REVOKED'] } }),
      ...(name !== undefined && { prefix: { field: clients.list.prefix.name, value: searchKey(name) } }),
      ...(nameContains !== undefined && { inside: { ...clients.list.inside.name, value: searchKey(nameContains) } }),
      ...(subscriptionId !== undefined && {
        contains: { field: clients.list.contains.subscriptionId, value: subscriptionId },
      }),
      ...(label !== undefined && { contains: { field: clients.list.contains.label, value: label } }),
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

/** Refuses filters that no index serves together. */
function requireOneSearch(parameters: ListClientsParameters): void {
  const { name, nameContains, authenticationType, externalId, label, subscriptionId, sort } = parameters;
  if (name !== undefined && nameContains !== undefined) throw notWith('nameContains', 'name');
  if (label !== undefined && subscriptionId !== undefined) throw notWith('label', 'subscriptionId');
  if (externalId === undefined) return;
  const others = { name, nameContains, authenticationType, label, subscriptionId };
  const [other] = Object.entries(others).find(([, value]) => value !== undefined) ?? [];
  if (other !== undefined) throw notWith('externalId', other);
  if (sort !== undefined && sort !== 'createdAt') throw notWith('externalId', `sort=${sort}`);
}

const notWith = (field: string, other: string) =>
  validationFailed({ field, message: `can’t be combined with ${other}` });

function sortOf({ name, nameContains, sort, status }: ListClientsParameters): ClientSort {
  const isSearch = name !== undefined || nameContains !== undefined;
  if (isSearch && sort !== undefined && sort !== 'name') {
    throw validationFailed({ field: 'sort', message: 'must be name where names are searched' });
  }
  if (sort === 'revokedAt' && status !== 'revoked') {
    throw validationFailed({ field: 'sort', message: 'revokedAt is of the revoked table: status=revoked' });
  }
  return sort ?? (isSearch ? 'name' : 'createdAt');
}
