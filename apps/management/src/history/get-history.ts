import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
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
import { type DocumentOf, projections, storedEventOf } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { QUARANTINE_FIELD, quarantineOf, type QuarantineView } from '../requests/quarantine.js';
import { EXAMPLE_CURSOR, pageOf, PageQueryParameters } from '../requests/query-request.js';

@ApiSchema({ name: 'Actor' })
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
  @ApiProperty({ type: 'integer', minimum: 0, example: 0 })
  revision!: number;

  @ApiProperty({ example: 'ConsumerClientCreated' })
  type!: string;

  @ApiProperty({ type: 'integer', minimum: 1, example: 1 })
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

  @ApiPropertyOptional({ description: 'Absent on the last page', example: EXAMPLE_CURSOR })
  nextCursor?: string;
}

/** The history of a new client, for the examples of the OpenAPI document. */
export const EXAMPLE_HISTORY: HistoryPage = {
  items: [
    {
      revision: 0,
      type: 'ConsumerClientCreated',
      schemaVersion: 2,
      eventId: '0c1b2a39-4857-5667-8899-aabbccddeeff',
      occurredAt: '2026-11-24T09:00:00.000Z',
      actor: { subject: 'portal-backend', roles: ['clients:read', 'clients:write'], via: 'http' },
      data: {
        clientId: 'cc_4fT0kq9wZr1sVb7XyN2mLp',
        workspaceId: 'acme',
        name: 'Forecast importer',
        authenticationType: 'API_KEY',
        verifier: { sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08' },
        hint: '7Kq2',
        createdAt: '2026-11-24T09:00:00.000Z',
      },
      workspaceId: 'acme',
      commandId: '5b6f1c9e-3a1d-5e8b-9c41-7a2f0d3e4b5c',
      commandHash: '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae',
      correlationId: '2f1c8e0a-7d0f-4b57-9c11-0f6d3d1f6a11',
      causationId: '2f1c8e0a-7d0f-4b57-9c11-0f6d3d1f6a11',
      previousHash: '0'.repeat(64),
      hash: 'fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9',
    },
  ],
};

/** The history of a new subscription. */
export const EXAMPLE_SUBSCRIPTION_HISTORY: HistoryPage = {
  items: EXAMPLE_HISTORY.items.map((entry) => ({
    ...entry,
    type: 'SubscriptionRegistered',
    schemaVersion: 1,
    data: {
      subscriptionId: 'acme-weather',
      workspaceId: 'acme',
      endpointUri: 'acme-weather',
      serviceName: 'Weather forecasts',
      registeredAt: '2026-11-24T09:00:00.000Z',
    },
  })),
};

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
      sort: { field: projections.history.list.sorts.position, direction: parameters.order ?? 'asc' },
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

/** Returns the event in the form that was hashed. */
export function entryOf(document: Pick<DocumentOf<typeof projections.history>, 'doc'>): HistoryEntry {
  const { revision, ...entry } = storedEventOf(document);
  return { ...entry, revision: Number(revision) };
}
