import { Controller, Get, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import type { ConsistencyToken } from '#event-log';
import { isInstallationStream } from '#replay';
import { form, QueryRoute } from '../requests/api-documentation.js';
import { CallerParameter } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { ConsistencyTokenParameter } from '../requests/query-request.js';
import {
  EXAMPLE_WORKSPACE_HISTORY,
  GetInstallationHistory,
  GetWorkspaceHistory,
  WorkspaceHistoryPage,
  WorkspaceHistoryParameters,
} from './find-events.js';

/** Routes for what happened in a workspace, and in the installation as a whole. */
@ApiTags('Audit')
@Controller('v1/history')
export class HistoryController {
  constructor(private readonly queries: QueryBus) {}

  @Get()
  @QueryRoute({
    scopes: ['audit:read'],
    operationId: 'getHistory',
    summary: 'The events of all clients and subscriptions of a workspace, in the order of the log',
    description:
      'By pages, oldest first; the cursor is a position in the log, so a caller that keeps its last one misses nothing. ' +
      'Sensitive fields are replaced by their hashes, as in the history of a client. A page looks through 2,000 events ' +
      'at most: if few of them match, it has few items, or none, and `nextCursor` all the same.',
    answers: [
      {
        status: 200,
        description: 'A page of events',
        forms: [form(WorkspaceHistoryPage, { page: EXAMPLE_WORKSPACE_HISTORY, empty: { items: [] } })],
      },
    ],
    refusals: ['RANGE_TOO_LONG', 'HISTORY_DAMAGED', 'HISTORY_MISSING', 'LOG_RESTORED'],
  })
  find(
    @Query() parameters: WorkspaceHistoryParameters,
    @CallerParameter() caller: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<WorkspaceHistoryPage> {
    const { stream } = parameters;
    return stream !== undefined && isInstallationStream(stream)
      ? this.queries.execute(new GetInstallationHistory(caller, stream, parameters))
      : this.queries.execute(new GetWorkspaceHistory(caller.workspaceId, parameters, token));
  }
}
