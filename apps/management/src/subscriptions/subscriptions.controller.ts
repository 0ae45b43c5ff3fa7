import { Body, Controller, Delete, Get, Inject, Param, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { SubscriptionId, SubscriptionState } from '#domain';
import type { ConsistencyToken, Executed } from '#event-log';
import { validationFailed } from '#platform';
import { CLIENT_PAGE_FORMS, type ClientPage, ListClients } from '../clients/list-clients.js';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import {
  EXAMPLE_SUBSCRIPTION_HISTORY,
  GetHistory,
  historyOfSubscription,
  HistoryPage,
} from '../history/get-history.js';
import { AggregateCommand } from '../requests/aggregate-command.js';
import { CommandRoute, CommandRouteWithQuery, form, QueryRoute } from '../requests/api-documentation.js';
import { CallerParameter, CommandParameter, type HttpCommandRequest } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { newSubscriptionIdParameter, SUBSCRIPTION_ID, subscriptionIdParameter } from '../requests/path-parameters.js';
import { ConsistencyTokenParameter, MAX_PAGE, PageQueryParameters } from '../requests/query-request.js';
import { answerPreview, etagOf, setPlaceHeaders } from '../requests/response-headers.js';
import { EndPreview, EndSubscriptionQuery, PreviewEnd } from './end-subscription.js';
import { GetSubscription } from './get-subscription.js';
import { ListSubscriptions, ListSubscriptionsParameters, SubscriptionPage } from './list-subscriptions.js';
import { RegisterSubscription, RegisterSubscriptionBody } from './register-subscription.js';
import {
  EXAMPLE_ENDED_SUBSCRIPTION,
  EXAMPLE_SUBSCRIPTION,
  SubscriptionView,
  subscriptionView,
} from './subscription.js';

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
  @CommandRoute({
    scopes: ['subscriptions:write'],
    operationId: 'registerSubscription',
    summary: 'Register a subscription',
    description: 'The endpoint URI belongs to this one subscription of the whole marketplace, for ever.',
    answers: [
      {
        status: 201,
        description: 'The new subscription',
        forms: [form(SubscriptionView, { live: EXAMPLE_SUBSCRIPTION })],
      },
      {
        status: 200,
        description: 'The subscription was registered with these values before',
        forms: [form(SubscriptionView, { live: EXAMPLE_SUBSCRIPTION })],
      },
    ],
    refusals: [
      'INVALID_SUBSCRIPTION_ID',
      'INVALID_ENDPOINT_URI',
      'INVALID_SERVICE_NAME',
      'SUBSCRIPTION_NOT_FOUND',
      'SUBSCRIPTION_EXISTS',
      'ENDPOINT_URI_TAKEN',
    ],
    path: [SUBSCRIPTION_ID],
  })
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
  @CommandRouteWithQuery({
    scopes: ['subscriptions:write'],
    operationId: 'endSubscription',
    summary: 'End a subscription and unassign its clients, for ever; with dryRun=true only show whom',
    description:
      'A dry run lists the clients that are assigned now. `If-Match` with its `ETag` does not cover the list: until ' +
      'the subscription ends, clients can be assigned and unassigned without a new ETag.',
    answers: [
      {
        status: 200,
        description: 'The ended subscription, or the clients that its end would unassign',
        forms: [form(SubscriptionView, { ended: EXAMPLE_ENDED_SUBSCRIPTION })],
        dryRun: form(EndPreview, { dryRun: { wouldUnassign: ['cc_4fT0kq9wZr1sVb7XyN2mLp'] } }),
      },
    ],
    refusals: ['INVALID_REASON', 'SUBSCRIPTION_NOT_FOUND'],
    path: [SUBSCRIPTION_ID],
  })
  async end(
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @Query() { reason = 'Ended by the portal', dryRun, limit }: EndSubscriptionQuery,
    @CommandParameter({ query: ['reason', 'dryRun', 'limit'], bodyless: true }) request: HttpCommandRequest,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SubscriptionView | EndPreview> {
    const { workspaceId, at } = request.caller;
    const command = { type: 'EndSubscription', workspaceId, reason, at } as const;
    if (dryRun === 'true') {
      const query = new PreviewEnd(subscriptionId, command, request, limit ?? MAX_PAGE, token);
      return answerPreview(reply, await this.queries.execute(query));
    }
    if (limit !== undefined) throw validationFailed({ field: 'limit', message: 'is only for dryRun=true' });
    const aggregateCommand = new AggregateCommand('subscriptions', subscriptionId, command, request);
    return this.answer(reply, await this.commands.execute(aggregateCommand));
  }

  @Get()
  @QueryRoute({
    scopes: ['clients:read', 'audit:read'],
    operationId: 'listSubscriptions',
    summary: 'The workspace’s subscriptions, by pages',
    answers: [
      {
        status: 200,
        description: 'A page of subscriptions',
        forms: [form(SubscriptionPage, { lastPage: { items: [EXAMPLE_SUBSCRIPTION] }, empty: { items: [] } })],
      },
    ],
    refusals: ['INVALID_CURSOR'],
  })
  list(
    @Query() parameters: ListSubscriptionsParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<SubscriptionPage> {
    return this.queries.execute(new ListSubscriptions(workspaceId, parameters, token));
  }

  @Get(':subscriptionId')
  @QueryRoute({
    scopes: ['clients:read', 'audit:read'],
    operationId: 'getSubscription',
    summary: 'One subscription, live or ended',
    answers: [
      {
        status: 200,
        description: 'The subscription',
        forms: [form(SubscriptionView, { live: EXAMPLE_SUBSCRIPTION, ended: EXAMPLE_ENDED_SUBSCRIPTION })],
        headers: ['ETag'],
      },
    ],
    refusals: ['SUBSCRIPTION_NOT_FOUND'],
    path: [SUBSCRIPTION_ID],
  })
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
  @QueryRoute({
    scopes: ['clients:read', 'audit:read'],
    operationId: 'listClientsOfSubscription',
    summary: 'The clients that are assigned to a subscription, by pages',
    answers: [{ status: 200, description: 'A page of clients', forms: CLIENT_PAGE_FORMS }],
    refusals: ['SUBSCRIPTION_NOT_FOUND', 'INVALID_CURSOR'],
    path: [SUBSCRIPTION_ID],
  })
  listClients(
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @Query() parameters: PageQueryParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<ClientPage> {
    return this.queries.execute(new ListClients(workspaceId, parameters, token, subscriptionId));
  }

  @Get(':subscriptionId/history')
  @QueryRoute({
    scopes: ['audit:read'],
    operationId: 'getSubscriptionHistory',
    summary: 'Every event of a subscription, by pages, oldest first',
    answers: [
      {
        status: 200,
        description: 'A page of events',
        forms: [form(HistoryPage, { page: EXAMPLE_SUBSCRIPTION_HISTORY })],
      },
    ],
    refusals: ['SUBSCRIPTION_NOT_FOUND', 'INVALID_CURSOR'],
    path: [SUBSCRIPTION_ID],
  })
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
