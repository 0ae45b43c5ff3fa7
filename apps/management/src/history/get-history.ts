import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  type ClientId,
  clientNotFound,
  consumerClient,
  type DomainError,
  subscription,
  type SubscriptionId,
  subscriptionNotFound,
  type WorkspaceId,
} from '#domain';
import type { ConsistencyToken } from '#event-log';
import { type DocumentOf, projections } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { QUARANTINE_FIELD, quarantineOf, type QuarantineView } from '../requests/quarantine.js';
import { pageOf, PageQueryParameters } from '../requests/query-request.js';

export class ActorView {
  @ApiProperty({ example: 'portal-backend' })
  subject!: string;

  @ApiProperty({ type: [String], example: ['clients:read', 'clients:write'] })
  roles!: readonly string[];

  @ApiProperty({ example: 'http' })
  via!: string;
}

/** An event of a client's or a subscription's stream as the log stored it. Each sensitive field is replaced by its hash. */
export class HistoryEntry {
  @ApiProperty({ example: 0 })
  revision!: number;

  @ApiProperty({ example: 'ConsumerClientCreated' })
  type!: string;

  @ApiProperty({ example: 1 })
  schemaVersion!: number;

  @ApiProperty({ format: 'uuid' })
  eventId!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:00:00.000Z' })
  occurredAt!: string;

  @ApiProperty({ type: ActorView })
  actor!: ActorView;

  @ApiProperty({ type: 'object', additionalProperties: true, description: 'Sensitive fields as {"sha256": …}' })
  data!: Readonly<Record<string, unknown>>;

  @ApiPropertyOptional({ example: 'acme' })
  workspaceId?: string;

  @ApiProperty({ format: 'uuid' })
  commandId!: string;

  @ApiProperty({ description: 'SHA-256 of method, path and body; empty for our own processes' })
  commandHash!: string;

  @ApiProperty({ description: 'The request that began it all' })
  correlationId!: string;

  @ApiProperty({ description: 'The request or event that caused the command' })
  causationId!: string;

  @ApiProperty({ description: 'Hash of the event before it in the stream' })
  previousHash!: string;

  @ApiProperty({ description: 'SHA-256 over the RFC 8785 form of the event' })
  hash!: string;
}

export class HistoryPage {
  @ApiProperty({ type: [HistoryEntry] })
  items!: HistoryEntry[];

  @ApiPropertyOptional(QUARANTINE_FIELD)
  quarantine?: QuarantineView;

  @ApiPropertyOptional({ description: 'Absent on the last page' })
  nextCursor?: string;
}

/** The aggregate whose history is asked for. */
export interface HistoryOwner {
  readonly stream: string;
  readonly notFound: () => DomainError;
}

export const historyOfClient = (id: ClientId): HistoryOwner => ({
  stream: consumerClient.stream(id),
  notFound: clientNotFound,
});

export const historyOfSubscription = (id: SubscriptionId): HistoryOwner => ({
  stream: subscription.stream(id),
  notFound: subscriptionNotFound,
});

/** Asks for a page of a history in the workspace. A history of another workspace counts as not found. */
export class GetHistory extends Query<HistoryPage> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly owner: HistoryOwner,
    readonly parameters: PageQueryParameters,
    readonly token: ConsistencyToken | undefined,
  ) {
    super();
  }
}

@QueryHandler(GetHistory)
export class GetHistoryHandler implements IQueryHandler<GetHistory> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, owner, parameters, token }: GetHistory): Promise<HistoryPage> {
    const { readModels, book } = this.dependencies;
    const readModel = await readModels.at(projections.history, token);
    const page = await readModel.page({
      equals: { stream: owner.stream },
      sort: { field: projections.history.list.sorts.revision, direction: parameters.order ?? 'asc' },
      ...pageOf(parameters),
    });
    // An existing stream has at least one event, and events are never removed. We give out a cursor only if more events
    // follow. So if a page is empty, the owner does not exist.
    if (page.items[0]?.doc.workspaceId !== workspaceId) throw owner.notFound();
    const quarantines = await book.quarantines.inForceOrLastKnown();
    return {
      ...page,
      items: page.items.map(entryOf),
      ...quarantineOf(owner.stream, quarantines),
    };
  }
}

function entryOf({ doc }: DocumentOf<typeof projections.history>): HistoryEntry {
  const { stream: _, revisionKey: __, revision, ...entry } = doc;
  return { ...entry, revision: Number(revision) };
}
