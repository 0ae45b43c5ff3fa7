import { Readable } from 'node:stream';
import { Body, Controller, Get, Headers, HttpCode, Post, Query, Res, StreamableFile } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { answerEnded } from '../requests/answer-ended.js';
import { AuditRoute, form, QuestionRoute } from '../requests/api-documentation.js';
import { CallerParameter } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { AskCouldCall, CouldCallAnswer, CouldCallBody, EXAMPLE_COULD_CALL } from './ask-could-call.js';
import { AskTokenStatus, EXAMPLE_TOKEN_STATUS, TokenStatusAnswer, TokenStatusBody } from './ask-token-status.js';
import {
  AccessReviewParameters,
  EXAMPLE_MANIFEST,
  formatIn,
  GetAccessReview,
  MEDIA_TYPES,
  REVIEW_CONTENT,
  ReviewManifestView,
} from './get-access-review.js';
import { DiffPage, DiffParameters, EXAMPLE_DIFF, GetDiff } from './get-diff.js';

/** Routes for questions about the past of a whole workspace. */
@ApiTags('Audit')
@Controller('v1')
export class ReplayController {
  constructor(private readonly queries: QueryBus) {}

  @Get('diff')
  @AuditRoute({
    scopes: ['audit:read'],
    operationId: 'getDiff',
    summary: 'What changed on the clients and subscriptions of a workspace between two places in the log',
    description:
      'Compares the states at the two places, for each client and subscription that has events in between, in the ' +
      'order of the first of these. A page looks through 2,000 events at most: it may have few items, or none, and ' +
      '`nextCursor` all the same.',
    answers: [{ status: 200, description: 'What changed', forms: [form(DiffPage, { page: EXAMPLE_DIFF })] }],
    refusals: ['IN_THE_FUTURE', 'INVALID_RANGE'],
  })
  diff(@Query() parameters: DiffParameters, @CallerParameter() { workspaceId }: Caller): Promise<DiffPage> {
    return this.queries.execute(new GetDiff(workspaceId, parameters));
  }

  @Post('questions/could-call')
  @HttpCode(200)
  @QuestionRoute({
    scopes: ['audit:read'],
    operationId: 'askCouldCall',
    summary: 'Which clients could have logged in at an endpoint at a moment',
    description:
      'The history finds the assignments, and the event log decides: each client is judged as of `at`, as by ' +
      '`GET /v1/clients/{clientId}/state`. A page looks through 500 assignments at most: it may have few items, or ' +
      'none, and `nextCursor` all the same.',
    answers: [
      { status: 200, description: 'The clients', forms: [form(CouldCallAnswer, { page: EXAMPLE_COULD_CALL })] },
    ],
    refusals: ['SUBSCRIPTION_NOT_FOUND', 'IN_THE_FUTURE'],
  })
  couldCall(@Body() body: CouldCallBody, @CallerParameter() { workspaceId }: Caller): Promise<CouldCallAnswer> {
    return this.queries.execute(new AskCouldCall(workspaceId, body));
  }

  @Post('questions/token-status')
  @HttpCode(200)
  @QuestionRoute({
    scopes: ['audit:read'],
    operationId: 'askTokenStatus',
    summary: 'Whether a token of the workspace was good at a moment, and if not, why',
    description: 'For access tokens, static tokens and refresh tokens. The token is neither kept nor logged.',
    answers: [
      { status: 200, description: 'The verdict', forms: [form(TokenStatusAnswer, { revoked: EXAMPLE_TOKEN_STATUS })] },
    ],
    refusals: ['IN_THE_FUTURE'],
  })
  tokenStatus(@Body() body: TokenStatusBody, @CallerParameter() { workspaceId }: Caller): Promise<TokenStatusAnswer> {
    return this.queries.execute(new AskTokenStatus(workspaceId, body));
  }

  @Get('access-review')
  @AuditRoute({
    scopes: ['audit:read'],
    operationId: 'getAccessReview',
    summary:
      'Every client, generation of its secret and subscription of a workspace at a moment, for reviews of access',
    description:
      'As CSV or NDJSON, with the answer that a login would have got in each row. The format is `format`, or the first ' +
      'of `text/csv` and `application/x-ndjson` in `Accept`, or CSV. `format=manifest` tells sizes and hashes of both ' +
      'files for the same `at` or `position`. In CSV, a text that a spreadsheet would take for a formula begins with an ' +
      'apostrophe. A client whose history is damaged has a row without `wouldLogIn`, with the reason UNREADABLE or ' +
      'QUARANTINED.',
    answers: [
      {
        status: 200,
        description: 'The review, or its manifest',
        forms: [form(ReviewManifestView, { manifest: EXAMPLE_MANIFEST })],
        otherContent: REVIEW_CONTENT,
      },
    ],
    refusals: ['IN_THE_FUTURE', 'BUSY'],
  })
  async accessReview(
    @Query() parameters: AccessReviewParameters,
    @Headers('accept') accept: string | undefined,
    @CallerParameter() { workspaceId }: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<StreamableFile | ReviewManifestView> {
    const format = parameters.format ?? formatIn(accept);
    const review = await this.queries.execute(new GetAccessReview(workspaceId, parameters, answerEnded(reply)));
    if (format === 'manifest') return review.manifest();
    void reply.header('content-type', `${MEDIA_TYPES[format]}; charset=utf-8`);
    void reply.header('content-disposition', `attachment; filename="access-review.${format}"`);
    return new StreamableFile(Readable.from(review.text(format)));
  }
}
