import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsIn, IsOptional, Matches } from 'class-validator';
import type { WorkspaceId } from '#domain';
import { projections } from '#read-models';
import {
  accessReview,
  pastMomentOf,
  REVIEW_COLUMNS,
  type ReviewFormat,
  reviewManifest,
  reviewText,
  tokenUpTo,
} from '#replay';
import { readLastTreeHead } from '#tree-heads';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { AnswersBusy } from '../requests/answers-busy.js';
import { instantOf, IsDateTime } from '../requests/date-time.js';
import { mediaTypeIn } from '../requests/media-type.js';
import { POSITION } from '../requests/position.js';
import { EXAMPLE_HEAD } from '../tree/example-head.js';

export const MEDIA_TYPES = { csv: 'text/csv', ndjson: 'application/x-ndjson' } as const;
const EXAMPLE_POSITION = '00000000000000004711';
/** Number of reviews that this process reads at once. Each reads every client of a workspace. */
const MAX_REVIEWS = 2;
const FORMATS = ['csv', 'ndjson', 'manifest'] as const;

export class AccessReviewParameters {
  @ApiPropertyOptional({ format: 'date-time', example: '2026-11-24T12:00:00Z', description: 'Default: now' })
  @IsOptional()
  @IsDateTime()
  at?: string;

  @ApiPropertyOptional({
    pattern: POSITION.source,
    example: EXAMPLE_POSITION,
    description: 'A place in the whole log, instead of a moment: then `at` only says when the clock is read',
  })
  @IsOptional()
  @Matches(POSITION, { message: 'position must have 20 digits' })
  position?: string;

  @ApiPropertyOptional({ enum: FORMATS, description: 'Default: by `Accept`' })
  @IsOptional()
  @IsIn(FORMATS)
  format?: (typeof FORMATS)[number];
}

/** Returns the format that the header `Accept` names first; CSV if it names none. */
export const formatIn = (accept = ''): ReviewFormat =>
  mediaTypeIn(accept, [MEDIA_TYPES.csv, MEDIA_TYPES.ndjson]) === MEDIA_TYPES.ndjson ? 'ndjson' : 'csv';

@ApiSchema({ name: 'AccessReviewQuery' })
export class ReviewQueryView {
  @ApiProperty({ example: 'acme' })
  workspaceId!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T12:00:00.000Z' })
  at!: string;

  @ApiPropertyOptional({
    example: EXAMPLE_POSITION,
    description: 'The place in the log up to which the review looked; absent if `at` was given alone',
  })
  position?: string;
}

@ApiSchema({ name: 'AccessReviewFile' })
export class ReviewFileView {
  @ApiProperty({ example: 'access-review.csv' })
  name!: string;

  @ApiProperty({ pattern: '^[0-9a-f]{64}$' })
  sha256!: string;

  @ApiProperty({ type: 'integer', minimum: 0 })
  bytes!: number;
}

/** What an access review contains: a file that was downloaded with the same `at` is checked by this. */
@ApiSchema({ name: 'AccessReviewManifest' })
export class ReviewManifestView {
  @ApiProperty({ type: ReviewQueryView })
  query!: ReviewQueryView;

  @ApiProperty({
    oneOf: [{ type: 'string' }, { type: 'null' }],
    example: EXAMPLE_HEAD,
    description: 'The newest signed head of the Merkle tree of the log; null while it has none',
  })
  treeHead!: string | null;

  @ApiProperty({ type: 'integer', minimum: 0 })
  rows!: number;

  @ApiProperty({
    type: 'integer',
    minimum: 0,
    description: 'Rows about clients and subscriptions whose history is damaged: they tell little',
  })
  unreadableRows!: number;

  @ApiProperty({ type: [ReviewFileView] })
  files!: readonly ReviewFileView[];
}

const SHA256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';

/** A manifest, for the examples of the OpenAPI document. */
export const EXAMPLE_MANIFEST: ReviewManifestView = {
  query: { workspaceId: 'acme', at: '2026-11-24T12:00:00.000Z' },
  ...{ treeHead: EXAMPLE_HEAD, rows: 1, unreadableRows: 0 },
  files: [
    { name: 'access-review.csv', sha256: SHA256, bytes: 412 },
    { name: 'access-review.ndjson', sha256: SHA256, bytes: 561 },
  ],
};

const EXAMPLE_ROW: Readonly<Partial<Record<(typeof REVIEW_COLUMNS)[number], string | number | boolean>>> = {
  ...{ asOf: '2026-11-24T12:00:00.000Z', clientId: 'cc_4fT0kq9wZr1sVb7XyN2mLp', name: 'Forecast importer' },
  ...{ clientStatus: 'ACTIVE', generation: 1, subscriptionId: 'acme-weather', wouldLogIn: true, reason: 'OK' },
};
const exampleCells = REVIEW_COLUMNS.map((column) => EXAMPLE_ROW[column] ?? '');

/** The media types of a review, for the OpenAPI document. */
export const REVIEW_CONTENT = {
  [MEDIA_TYPES.csv]: {
    schema: { type: 'string' as const, description: `RFC 4180, with the columns ${REVIEW_COLUMNS.join(', ')}` },
    examples: { review: { value: `${REVIEW_COLUMNS.join(',')}\r\n${exampleCells.join(',')}\r\n` } },
  },
  [MEDIA_TYPES.ndjson]: {
    schema: { type: 'string' as const, description: 'One object a line, with the columns as members' },
    examples: { review: { value: `${JSON.stringify(EXAMPLE_ROW)}\n` } },
  },
};

/** An access review that has not been read yet. Each method reads it. */
export interface AccessReview {
  text(format: ReviewFormat): AsyncIterable<string>;
  manifest(): Promise<ReviewManifestView>;
}

/** Asks for the access review of a workspace. It is read until `ended`, when the caller has it or has gone. */
export class GetAccessReview extends Query<AccessReview> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly parameters: AccessReviewParameters,
    readonly ended: AbortSignal,
  ) {
    super();
  }
}

@QueryHandler(GetAccessReview)
export class GetAccessReviewHandler implements IQueryHandler<GetAccessReview> {
  private reviews = 0;

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  /** Throws `AnswersBusy`. */
  async execute({ workspaceId, parameters, ended }: GetAccessReview): Promise<AccessReview> {
    this.occupyUntil(ended);
    const { book, readModels, clock } = this.dependencies;
    const asked = parameters.at === undefined ? undefined : instantOf(parameters.at);
    const { position } = parameters;
    const moment = await pastMomentOf(book, { at: asked, position, now: clock().toISOString() });
    const question = { workspaceId, moment, signal: ended };
    const histories = await readModels.at(projections.history, await tokenUpTo(book));
    const rows = accessReview(book, histories, question);
    return {
      text: (format) => reviewText(rows, format),
      manifest: async () => reviewManifest(rows, question, (await readLastTreeHead(book.log)).head?.note ?? null),
    };
  }

  private occupyUntil(ended: AbortSignal): void {
    ended.throwIfAborted();
    if (this.reviews >= MAX_REVIEWS) throw new AnswersBusy('Other access reviews are being written; try again', 10);
    this.reviews += 1;
    ended.addEventListener('abort', () => (this.reviews -= 1), { once: true });
  }
}
