import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsIn, IsOptional, Matches } from 'class-validator';
import type { WorkspaceId } from '#domain';
import type { Position } from '#events';
import { type CloudEvent, cloudEventOf, type FeedEvent, type OcsfEvent, ocsfEventOf } from '#feeds';
import { Problem } from '#platform';
import { firstOrigin, readLastTreeHead } from '#tree-heads';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { EXAMPLE_HISTORY } from '../history/get-history.js';
import { POSITION } from '../requests/position.js';
import { IsPageSize, MAX_PAGE } from '../requests/query-request.js';

export const DEFAULT_FEED_PAGE = 100;
const EXAMPLE_POSITION = '00000000000000004711';
/** May be asked for instead of no position: the log's start. */
const START = '0'.repeat(20);

const FORMATS = ['cloudevents', 'ocsf'] as const;
export type FeedFormat = (typeof FORMATS)[number];

export class FeedParameters {
  @ApiPropertyOptional({
    pattern: POSITION.source,
    example: START,
    description: 'Only events after this position: `sequence` of an event, or 20 zeros (the default) for all',
  })
  @IsOptional()
  @Matches(POSITION, { message: 'after must be a position of 20 digits' })
  after?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_PAGE, default: DEFAULT_FEED_PAGE })
  @IsPageSize()
  limit?: number;

  @ApiPropertyOptional({ enum: FORMATS, default: 'cloudevents', description: '`ocsf`: events of OCSF 1.3.0' })
  @IsOptional()
  @IsIn(FORMATS)
  format?: FeedFormat;
}

/** Returns the event in the format that was asked for. `origin`: the name of the log. */
export const formatted = (event: FeedEvent, origin: string, format: FeedFormat = 'cloudevents') =>
  format === 'ocsf' ? ocsfEventOf(event, origin) : cloudEventOf(event, origin);

@ApiSchema({ name: 'CloudEvent' })
export class CloudEventView implements CloudEvent {
  @ApiProperty({ enum: ['1.0'] })
  specversion!: '1.0';

  @ApiProperty({ format: 'uuid', description: 'Id of the event; the same in each form of the feed' })
  id!: string;

  @ApiProperty({ format: 'uri-reference', description: 'The origin of the log, and the stream of the event' })
  source!: string;

  @ApiProperty({ example: 'consumer-clients.ConsumerClientCreated.v2' })
  type!: string;

  @ApiPropertyOptional({ description: 'Id of the client or subscription. Absent for heads of the tree' })
  subject?: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:00:00.000Z' })
  time!: string;

  @ApiProperty({ enum: ['application/json'] })
  datacontenttype!: 'application/json';

  @ApiProperty({ pattern: POSITION.source, description: 'Position in the log: events are ordered by it as texts' })
  sequence!: string;

  @ApiProperty({ description: '`subject`, or the name of the stream' })
  partitionkey!: string;

  @ApiProperty({ enum: ['service_account', 'user', 'api_key', 'system', 'unknown'] })
  authtype!: CloudEvent['authtype'];

  @ApiProperty({ description: 'Who acted' })
  authid!: string;

  @ApiProperty({ format: 'date-time', description: 'When the event was recorded' })
  recordedtime!: string;

  @ApiPropertyOptional({ pattern: '^\\d+$', description: 'Number of the event in the tree. Absent for its heads' })
  leafindex?: string;

  @ApiProperty({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the RFC 8785 form of `data`' })
  hash!: string;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'The event as it was hashed: stream, revision, type, eventId, data and metadata',
  })
  data!: Record<string, unknown>;
}

const [EXAMPLE_ENTRY] = EXAMPLE_HISTORY.items;
const EXAMPLE_EVENT = EXAMPLE_ENTRY && exampleOf(EXAMPLE_ENTRY, 'consumerClient-cc_4fT0kq9wZr1sVb7XyN2mLp');
const EXAMPLE_ORIGIN = 'hub.example/0195d3a1';

/** A page of the feed in both formats, for the examples of the OpenAPI document. */
export const EXAMPLE_FEED: readonly CloudEventView[] = EXAMPLE_EVENT
  ? [cloudEventOf(EXAMPLE_EVENT, EXAMPLE_ORIGIN)]
  : [];
export const EXAMPLE_OCSF: readonly OcsfEvent[] = EXAMPLE_EVENT ? [ocsfEventOf(EXAMPLE_EVENT, EXAMPLE_ORIGIN)] : [];

function exampleOf(entry: (typeof EXAMPLE_HISTORY.items)[number], stream: string): FeedEvent {
  const { revision, type, eventId, data, ...metadata } = entry;
  const recorded = { eventId, type, stream, revision: BigInt(revision), position: EXAMPLE_POSITION };
  const { actor, workspaceId = 'acme', ...others } = metadata;
  return { event: { ...recorded, data: { ...data }, metadata: { ...others, actor, workspaceId } }, leafIndex: 4200 };
}

/** A page of the feed, in the form in which it is sent. */
export interface FormattedFeedPage {
  readonly events: readonly (CloudEvent | OcsfEvent)[];
  readonly next: Position | undefined;
}

/** Asks for a page of the events of a workspace, in the order of the log. */
export class GetFeedPage extends Query<FormattedFeedPage> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly parameters: FeedParameters,
  ) {
    super();
  }
}

@QueryHandler(GetFeedPage)
export class GetFeedPageHandler implements IQueryHandler<GetFeedPage> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, parameters }: GetFeedPage): Promise<FormattedFeedPage> {
    const { feed } = this.dependencies;
    const { limit = DEFAULT_FEED_PAGE } = parameters;
    const after = await placeOf(this.dependencies, parameters.after);
    const [{ events, next }, origin] = await Promise.all([
      feed.page({ workspaceId, after, limit }),
      originOf(this.dependencies),
    ]);
    return { events: events.map((event) => formatted(event, origin, parameters.format)), next };
  }
}

/** Returns the position after which a feed begins. Throws `Problem` if the log does not have it. */
export async function placeOf(
  { feed }: Pick<ManagementDependencies, 'feed'>,
  after: string | undefined,
): Promise<Position | undefined> {
  if (after === undefined || after === START) return undefined;
  if (await feed.isPlace(after)) return after;
  throw new Problem(410, 'UNKNOWN_POSITION', 'The event log has no event at this position');
}

/** Returns the name of the log: the origin of the heads of its tree, or the one that the first head will have. */
export async function originOf({ book, issuer }: Pick<ManagementDependencies, 'book' | 'issuer'>): Promise<string> {
  const { origin } = await readLastTreeHead(book.log);
  return origin ?? firstOrigin(issuer, book.logId);
}
