import { Controller, Get, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import { AuditRoute, form } from '../requests/api-documentation.js';
import { CallerParameter } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
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
}
