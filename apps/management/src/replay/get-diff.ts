import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import type { WorkspaceId } from '#domain';
import { projections } from '#read-models';
import { type Change, type ChangedStream, CHANGES, type Damage, diffOf, lastEventAt, tokenUpTo } from '#replay';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { POSITION } from '../requests/position.js';
import { IsPageSize, MAX_PAGE } from '../requests/query-request.js';

const DEFAULT_PAGE = 50;
const [EXAMPLE_FROM, EXAMPLE_TO] = ['00000000000000004711', '00000000000000004812'];

export class DiffParameters {
  @ApiProperty({ pattern: POSITION.source, example: EXAMPLE_FROM, description: 'The earlier place in the log' })
  @Matches(POSITION, { message: 'from must be a position of 20 digits' })
  from!: string;

  @ApiPropertyOptional({ pattern: POSITION.source, example: EXAMPLE_TO, description: 'Default: the end of the log' })
  @IsOptional()
  @Matches(POSITION, { message: 'to must be a position of 20 digits' })
  to?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE })
  @IsPageSize()
  limit?: number;

  @ApiPropertyOptional({
    pattern: POSITION.source,
    example: EXAMPLE_TO,
    description: '`nextCursor` of the page before, with the same `from`, and with the `to` that it answered',
  })
  @IsOptional()
  @Matches(POSITION, { message: 'cursor must be a position of 20 digits' })
  cursor?: string;
}

@ApiSchema({ name: 'Change' })
export class ChangeView {
  @ApiProperty({ enum: CHANGES })
  change!: Change['change'];

  @ApiPropertyOptional({
    example: '2',
    description: 'The generation of the credential, the id of the subscription, or the field of the description',
  })
  of?: string;

  @ApiPropertyOptional({ example: 'Forecast importer' })
  before?: string;

  @ApiPropertyOptional({ example: 'Importer (Berlin)' })
  after?: string;
}

@ApiSchema({ name: 'ChangedStream' })
export class ChangedStreamView {
  @ApiProperty({ example: 'consumerClient-cc_4fT0kq9wZr1sVb7XyN2mLp' })
  stream!: string;

  @ApiProperty({ example: EXAMPLE_TO, description: 'Of its first event in the range' })
  position!: string;

  @ApiPropertyOptional({
    enum: ['UNREADABLE', 'QUARANTINED'],
    description: 'Why its history can’t be read; then nothing is known of its revisions and changes',
  })
  unreadable?: Damage;

  @ApiPropertyOptional({
    type: 'integer',
    minimum: 0,
    description: 'Its last revision at `from`; absent if it was new',
  })
  revisionBefore?: number;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, description: 'Its last revision at `to`' })
  revisionAfter?: number;

  @ApiProperty({ type: [ChangeView], description: 'Empty if later events undid what earlier ones had changed' })
  changes!: readonly ChangeView[];
}

export class DiffPage {
  @ApiProperty({ example: EXAMPLE_FROM })
  from!: string;

  @ApiProperty({ example: EXAMPLE_TO })
  to!: string;

  @ApiProperty({ type: [ChangedStreamView] })
  items!: readonly ChangedStreamView[];

  @ApiPropertyOptional({ example: EXAMPLE_TO, description: 'Absent on the last page' })
  nextCursor?: string;
}

const EXAMPLE_ENTRY: ChangedStream = {
  stream: 'consumerClient-cc_4fT0kq9wZr1sVb7XyN2mLp',
  ...{ position: EXAMPLE_TO, revisionBefore: 1, revisionAfter: 2 },
  changes: [{ change: 'RENAMED', before: 'Forecast importer', after: 'Importer (Berlin)' }],
};

/** What changed, for the examples of the OpenAPI document. */
export const EXAMPLE_DIFF: DiffPage = { from: EXAMPLE_FROM, to: EXAMPLE_TO, items: [EXAMPLE_ENTRY] };

/** Asks what changed in a workspace between two places in the log. */
export class GetDiff extends Query<DiffPage> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly parameters: DiffParameters,
  ) {
    super();
  }
}

@QueryHandler(GetDiff)
export class GetDiffHandler implements IQueryHandler<GetDiff> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, parameters }: GetDiff): Promise<DiffPage> {
    const { book, readModels } = this.dependencies;
    const { from, to = (await book.log.end()) ?? from, limit = DEFAULT_PAGE, cursor: after } = parameters;
    await lastEventAt(book, to, 'to');
    const histories = await readModels.at(projections.history, await tokenUpTo(book, to));
    const { entries, next } = await diffOf(book, histories, { workspaceId, from, to, after, limit });
    return { from, to, items: entries, ...(next !== undefined && { nextCursor: next }) };
  }
}
