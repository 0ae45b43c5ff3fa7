import { Body, Controller, Delete, Get, Inject, Param, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { subscription, type SubscriptionId, type SubscriptionState } from '#domain';
import type { ConsistencyToken, Executed } from '#event-log';
import { validationFailed } from '#platform';
import { ClientPage, ListClients } from '../clients/list-clients.js';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { GetHistory, historyOfSubscription, HistoryPage } from '../history/get-history.js';
import { AggregateCommand } from '../requests/aggregate-command.js';
import { CommandRoute, ConsistencyTokenHeader, QueryRoute } from '../requests/api-documentation.js';
import { CallerParameter, CommandParameter, type HttpCommandRequest } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { newSubscriptionIdParameter, subscriptionIdParameter } from '../requests/path-parameters.js';
import { ConsistencyTokenParameter, MAX_PAGE, PageQueryParameters } from '../requests/query-request.js';
import { answerPreview, etagOf, setPlaceHeaders } from '../requests/response-headers.js';
import { EndPreview, EndSubscriptionQuery, PreviewEnd } from './end-subscription.js';
import { GetSubscription } from './get-subscription.js';
import { ListSubscriptions, ListSubscriptionsParameters, SubscriptionPage } from './list-subscriptions.js';
import { RegisterSubscription, RegisterSubscriptionBody } from './register-subscription.js';
import { SubscriptionView, subscriptionView } from './subscription.js';

/** Routes for subscriptions: commands, lists, and the clients that are assigned to a subscription. */
@ApiTags('Subscriptions')
@Controller('v1/subscriptions')
export class SubscriptionsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies,
  ) {}

  @Put(':subscriptionId')
  @CommandRoute('subscriptions:write', { status: 201, type: SubscriptionView }, { status: 200, type: SubscriptionView })
  @ApiOperation({ summary: 'Register a subscription; 200 when it is registered already with these values' })
  async register(
    @Param('subscriptionId', newSubscriptionIdParameter) subscriptionId: SubscriptionId,
    @Body() body: RegisterSubscriptionBody,
    @CommandParameter() request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SubscriptionView> {
    const executed = await this.commands.execute(new RegisterSubscription(subscriptionId, body, request));
    void reply.status(executed.outcome === 'unchanged' ? 200 : 201);
    return this.answer(reply, executed);
  }

  @Delete(':subscriptionId')
  @CommandRoute('subscriptions:write', { status: 200, type: SubscriptionView, dryRun: EndPreview })
  @ConsistencyTokenHeader
  @ApiOperation({ summary: 'End a subscription and unassign its clients, for ever; with dryRun=true only show whom' })
  async end(
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @Query() { reason = 'Ended by the portal', dryRun, limit }: EndSubscriptionQuery,
    @CommandParameter({ query: ['reason', 'dryRun', 'limit'], bodyless: true }) request: HttpCommandRequest,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SubscriptionView | EndPreview> {
    const { workspaceId, at } = request.caller;
    if (dryRun === 'true') {
      const preview = await this.queries.execute(new PreviewEnd(subscriptionId, workspaceId, limit ?? MAX_PAGE, token));
      return answerPreview(reply, subscription.stream(subscriptionId), request, preview);
    }
    if (limit !== undefined) throw validationFailed({ field: 'limit', message: 'is only for dryRun=true' });
    const command = { type: 'EndSubscription', workspaceId, reason, at } as const;
    const aggregateCommand = new AggregateCommand('subscriptions', subscriptionId, command, request);
    return this.answer(reply, await this.commands.execute(aggregateCommand));
  }

  @Get()
  @QueryRoute(['clients:read', 'audit:read'], SubscriptionPage)
  @ApiOperation({ summary: 'The workspace’s subscriptions, by pages' })
  list(
    @Query() parameters: ListSubscriptionsParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<SubscriptionPage> {
    return this.queries.execute(new ListSubscriptions(workspaceId, parameters, token));
  }

  @Get(':subscriptionId')
  @QueryRoute(['clients:read', 'audit:read'], SubscriptionView)
  @ApiOperation({ summary: 'One subscription, live or ended' })
  async get(
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SubscriptionView> {
    const found = await this.queries.execute(new GetSubscription(workspaceId, subscriptionId, token));
    void reply.header('etag', etagOf(found.revision));
    return found;
  }

  @Get(':subscriptionId/clients')
  @QueryRoute(['clients:read', 'audit:read'], ClientPage)
  @ApiOperation({ summary: 'The clients that are assigned to a subscription, by pages' })
  listClients(
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @Query() parameters: PageQueryParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<ClientPage> {
    return this.queries.execute(new ListClients(workspaceId, parameters, token, subscriptionId));
  }

  @Get(':subscriptionId/history')
  @QueryRoute('audit:read', HistoryPage)
  @ApiOperation({ summary: 'Every event of a subscription, by pages, oldest first' })
  history(
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @Query() parameters: PageQueryParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<HistoryPage> {
    return this.queries.execute(new GetHistory(workspaceId, historyOfSubscription(subscriptionId), parameters, token));
  }

  private answer(reply: FastifyReply, executed: Executed<SubscriptionState>): SubscriptionView {
    setPlaceHeaders(reply, this.dependencies.book, executed);
    return subscriptionView(executed.state, executed.revision);
  }
}
