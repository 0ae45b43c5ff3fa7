import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { type Instant, SUBSCRIPTION_ID, type SubscriptionId, type WorkspaceId } from '#domain';
import type { ConsistencyToken } from '#event-log';
import { Problem, validationFailed } from '#platform';
import { projections } from '#read-models';
import { findEvents, findInstallationEvents } from '#replay';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { instantOf, IsDateTime } from '../requests/date-time.js';
import type { Caller } from '../requests/management-guard.js';
import { POSITION } from '../requests/position.js';
import { IsPageSize, MAX_PAGE } from '../requests/query-request.js';
import { entryOf, EXAMPLE_HISTORY, HistoryEntry } from './get-history.js';

const DEFAULT_PAGE = 50;
const EXAMPLE_POSITION = '00000000000000004711';

export class WorkspaceHistoryParameters {
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE })
  @IsPageSize()
  limit?: number;

  @ApiPropertyOptional({
    pattern: POSITION.source,
    example: EXAMPLE_POSITION,
    description: 'Only events after this position: `nextCursor` of the page before, or any position',
  })
  @IsOptional()
  @Matches(/^\d{20}(?:-\d{20})?$/, { message: 'cursor must be a position of 20 digits, or a nextCursor' })
  cursor?: string;

  @ApiPropertyOptional({
    maxLength: 200,
    example: 'subscription-acme-weather',
    description:
      'Only this stream. With the scope `workspaces:any` also a stream of the installation: `signingKeys`, ' +
      '`operatorActs`, `quarantines`, `logAdoptions` or `log`, without other filters',
  })
  @IsOptional()
  @IsString()
  @MaxLength(200)
  stream?: string;

  @ApiPropertyOptional({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp', description: 'Only the events of this client' })
  @IsOptional()
  @Matches(/^cc_[A-Za-z0-9]{16,40}$/, { message: 'client must be the id of a client' })
  client?: `cc_${string}`;

  @ApiPropertyOptional({
    pattern: SUBSCRIPTION_ID.source,
    example: 'acme-weather',
    description: 'Only the events that concern this subscription, also those of the clients that were assigned to it',
  })
  @IsOptional()
  @Matches(SUBSCRIPTION_ID)
  subscription?: SubscriptionId;

  @ApiPropertyOptional({ maxLength: 255, example: 'portal-backend', description: 'Only what this subject did' })
  @IsOptional()
  @IsString()
  @MaxLength(255)
  actor?: string;

  @ApiPropertyOptional({ maxLength: 100, example: 'ConsumerClientRevoked' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  type?: string;

  @ApiPropertyOptional({
    format: 'date-time',
    example: '2026-11-01T00:00:00Z',
    description: 'Only events that occurred then or later; at most 366 days before `to`',
  })
  @IsOptional()
  @IsDateTime()
  from?: string;

  @ApiPropertyOptional({
    format: 'date-time',
    example: '2026-12-01T00:00:00Z',
    description: 'Only events that occurred before this moment; needs `from`. Default with `from`: now',
  })
  @IsOptional()
  @IsDateTime()
  to?: string;
}

/** An event, with its place in the log. */
@ApiSchema({ name: 'PlacedEvent' })
export class PlacedEvent {
  @ApiProperty({ example: EXAMPLE_POSITION })
  position!: string;

  @ApiProperty({ example: 'consumerClient-cc_4fT0kq9wZr1sVb7XyN2mLp' })
  stream!: string;

  @ApiProperty({ type: HistoryEntry })
  event!: HistoryEntry;
}

export class WorkspaceHistoryPage {
  @ApiProperty({ type: [PlacedEvent] })
  items!: PlacedEvent[];

  @ApiPropertyOptional({
    example: EXAMPLE_POSITION,
    description: 'A position. Absent if nothing more follows; a page may have few items, or none, although more follow',
  })
  nextCursor?: string;
}

/** A page of the history of a workspace, for the examples of the OpenAPI document. */
export const EXAMPLE_WORKSPACE_HISTORY: WorkspaceHistoryPage = {
  items: EXAMPLE_HISTORY.items.map((event) => ({
    position: EXAMPLE_POSITION,
    stream: 'consumerClient-cc_4fT0kq9wZr1sVb7XyN2mLp',
    event,
  })),
  nextCursor: EXAMPLE_POSITION,
};

/** Asks for a page of the events of a workspace, in the order of the log. */
export class GetWorkspaceHistory extends Query<WorkspaceHistoryPage> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly parameters: WorkspaceHistoryParameters,
    readonly token: ConsistencyToken | undefined,
  ) {
    super();
  }
}

@QueryHandler(GetWorkspaceHistory)
export class GetWorkspaceHistoryHandler implements IQueryHandler<GetWorkspaceHistory> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, parameters, token }: GetWorkspaceHistory): Promise<WorkspaceHistoryPage> {
    const { readModels, clock } = this.dependencies;
    const { limit = DEFAULT_PAGE, cursor, stream, client, subscription, actor, type } = parameters;
    const [after, through] = cursor?.split('-') ?? [];
    const { events, next, ...found } = await findEvents(await readModels.at(projections.history, token), {
      ...{ workspaceId, stream, clientId: client, subscriptionId: subscription, actor, type },
      ...rangeOf(parameters, clock().toISOString()),
      ...{ after, through, limit },
    });
    return {
      items: events.map((found) => ({ position: found.position, stream: found.doc.stream, event: entryOf(found) })),
      ...(next !== undefined && { nextCursor: found.through === undefined ? next : `${next}-${found.through}` }),
    };
  }
}

function rangeOf({ from, to }: WorkspaceHistoryParameters, now: Instant) {
  if (from !== undefined) return { from: instantOf(from), to: to === undefined ? now : instantOf(to) };
  if (to === undefined) return {};
  throw validationFailed({ field: 'to', message: 'needs from' });
}

/** Asks for a page of the events of one of the installation's streams. Only for those who may act for any workspace. */
export class GetInstallationHistory extends Query<WorkspaceHistoryPage> {
  constructor(
    readonly caller: Pick<Caller, 'scopes'>,
    readonly stream: string,
    readonly parameters: WorkspaceHistoryParameters,
  ) {
    super();
  }
}

@QueryHandler(GetInstallationHistory)
export class GetInstallationHistoryHandler implements IQueryHandler<GetInstallationHistory> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ caller, stream, parameters }: GetInstallationHistory): Promise<WorkspaceHistoryPage> {
    if (!caller.scopes.includes('workspaces:any')) {
      throw new Problem(403, 'INSUFFICIENT_SCOPE', 'A stream of the installation needs the scope workspaces:any');
    }
    const { client, subscription, actor, type, from, to } = parameters;
    const filters = Object.entries({ client, subscription, actor, type, from, to });
    const given = filters.filter(([, value]) => value !== undefined);
    if (given.length > 0) {
      throw validationFailed(...given.map(([field]) => ({ field, message: 'not with a stream of the installation' })));
    }
    const { limit = DEFAULT_PAGE, cursor } = parameters;
    const { log } = this.dependencies.book;
    const { events, next } = await findInstallationEvents(log, { stream, after: cursor?.slice(0, 20), limit });
    return {
      items: events.map(({ position, stream, revision, eventId, type, data, metadata }) => ({
        ...{ position, stream },
        event: { revision: Number(revision), type, eventId, data, ...metadata },
      })),
      ...(next !== undefined && { nextCursor: next }),
    };
  }
}
