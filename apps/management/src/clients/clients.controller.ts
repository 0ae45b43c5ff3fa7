import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, type Query as NestQuery, QueryBus } from '@nestjs/cqrs';
import { ApiQuery, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type ClientId, type ConsumerClientCommand, type ConsumerClientState, type SubscriptionId } from '#domain';
import type { CommandRequest, ConsistencyToken, Executed } from '#event-log';
import { validationFailed } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { EXAMPLE_HISTORY, GetHistory, historyOfClient, HistoryPage } from '../history/get-history.js';
import {
  BasisParameters,
  ClientStateView,
  EXAMPLE_CLIENT_STATE,
  EXAMPLE_REVOKED_CLIENT_STATE,
  GetClientState,
} from '../replay/get-client-state.js';
import { AggregateCommand } from '../requests/aggregate-command.js';
import { CommandRoute, form, LogQueryRoute, QueryRoute } from '../requests/api-documentation.js';
import { CallerParameter, CommandParameter, type HttpCommandRequest } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import {
  CLIENT_ID,
  clientIdParameter,
  GENERATION,
  generationParameter,
  SUBSCRIPTION_ID,
  subscriptionIdParameter,
} from '../requests/path-parameters.js';
import { ConsistencyTokenParameter, PageQueryParameters } from '../requests/query-request.js';
import { answerPreview, etagOf, forbidCaching, type Preview, setPlaceHeaders } from '../requests/response-headers.js';
import { AssignToSubscription } from './assign-to-subscription.js';
import { ClientView, clientView, EXAMPLE_CLIENT, EXAMPLE_REVOKED_CLIENT } from './client.js';
import { CreateClient, CreateClientBody } from './create-client.js';
import { DescribeClient, DescribeClientBody } from './describe-client.js';
import { GetClient } from './get-client.js';
import { ClientAnswer, type CredentialAnswer, credentialForms, type CredentialResult } from './issued-credential.js';
import { CLIENT_PAGE_FORMS, type ClientPage, ListClients, ListClientsParameters } from './list-clients.js';
import { PreviewRevocation, RevocationPreview, RevokeClientBody } from './revoke-client.js';
import { PreviewRotation, RotateSecret, RotateSecretBody, RotationPreview } from './rotate-secret.js';

const DRY_RUN = { name: 'dryRun', required: false, enum: ['true', 'false'], example: 'true' };

const REFUSALS_OF_DRAFTS = ['DRAFT_INVALID', 'DRAFT_EXPIRED', 'DRAFT_STALE'] as const;
const REFUSALS_OF_DESCRIPTIONS = [
  'INVALID_NAME',
  'INVALID_DESCRIPTION',
  'INVALID_LABELS',
  'INVALID_EXTERNAL_ID',
  'EXTERNAL_ID_TAKEN',
] as const;

/** Routes for consumer clients: commands, and queries of the tables of active and revoked clients. */
@ApiTags('Clients')
@Controller('v1/clients')
export class ClientsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies,
  ) {}

  @Post()
  @CommandRoute({
    scopes: ['clients:write'],
    operationId: 'createClient',
    summary: 'Create a client',
    answers: [
      {
        status: 201,
        description: 'The new client, with its credential unless it was minted before',
        forms: credentialForms(1),
        headers: ['Cache-Control', 'Location'],
      },
    ],
    refusals: [
      ...REFUSALS_OF_DESCRIPTIONS,
      ...REFUSALS_OF_DRAFTS,
      'INVALID_EXPIRY',
      'INVALID_SUBSCRIPTIONS',
      'SUBSCRIPTION_NOT_FOUND',
      'SUBSCRIPTION_ENDED',
      'BUSY',
    ],
  })
  async create(
    @Body() body: CreateClientBody,
    @CommandParameter() request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CredentialAnswer> {
    const result = await this.commands.execute(new CreateClient(body, request));
    const answer = this.answerWithCredential(reply, body.draft, result);
    void reply.header('location', `/v1/clients/${answer.client.clientId}`);
    return answer;
  }

  @Patch(':clientId')
  @CommandRoute({
    scopes: ['clients:write'],
    operationId: 'describeClient',
    summary: 'Change the name, the description, the labels or the external id of a client',
    answers: [
      {
        status: 200,
        description: 'The client',
        forms: [form(ClientAnswer, { renamed: { client: { ...EXAMPLE_CLIENT, name: 'Importer', revision: 2 } } })],
      },
    ],
    refusals: [...REFUSALS_OF_DESCRIPTIONS, 'CLIENT_NOT_FOUND', 'CLIENT_REVOKED'],
    path: [CLIENT_ID],
  })
  async describe(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Body() body: DescribeClientBody,
    @CommandParameter() request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    return this.answer(reply, await this.commands.execute(new DescribeClient(clientId, body, request)));
  }

  @Post(':clientId/rotate')
  @HttpCode(200)
  @CommandRoute({
    scopes: ['clients:write'],
    operationId: 'rotateSecret',
    summary: 'Rotate the secret, with or without an overlap; with dryRun=true only show the effect',
    answers: [
      {
        status: 200,
        description: 'The client, with its new credential unless it was minted before; or what a rotation would do',
        forms: credentialForms(2),
        commandHeaders: ['Cache-Control'],
        dryRun: form(RotationPreview, {
          dryRun: { generation: 2, wouldInvalidate: [], previousExpiresAt: '2026-11-30T17:00:00.000Z' },
        }),
      },
    ],
    refusals: [...REFUSALS_OF_DRAFTS, 'INVALID_EXPIRY', 'CLIENT_NOT_FOUND', 'CLIENT_REVOKED', 'BUSY'],
    path: [CLIENT_ID],
  })
  @ApiQuery(DRY_RUN)
  async rotate(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query('dryRun') dryRun: unknown,
    @Body() body: RotateSecretBody,
    @CommandParameter({ query: ['dryRun'] }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CredentialAnswer | RotationPreview> {
    if (isTrue(dryRun)) return this.preview(new PreviewRotation(clientId, body, request), reply);
    return this.answerWithCredential(
      reply,
      body.draft,
      await this.commands.execute(new RotateSecret(clientId, body, request)),
    );
  }

  @Delete(':clientId/credentials/:generation')
  @CommandRoute({
    scopes: ['clients:write'],
    operationId: 'retireCredential',
    summary: 'End the overlap of an older generation now',
    answers: [
      { status: 200, description: 'The client', forms: [form(ClientAnswer, { retired: { client: EXAMPLE_CLIENT } })] },
    ],
    refusals: ['CLIENT_NOT_FOUND', 'GENERATION_NOT_FOUND', 'CLIENT_REVOKED', 'GENERATION_IS_NEWEST'],
    path: [CLIENT_ID, GENERATION],
  })
  async retire(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Param('generation', generationParameter) generation: number,
    @CommandParameter({ bodyless: true }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    const { workspaceId, at } = request.caller;
    return this.execute(clientId, { type: 'RetireCredential', workspaceId, generation, at }, request, reply);
  }

  @Put(':clientId/subscriptions/:subscriptionId')
  @CommandRoute({
    scopes: ['clients:write'],
    operationId: 'assignToSubscription',
    summary: 'Assign a client to a subscription of its workspace',
    answers: [
      { status: 200, description: 'The client', forms: [form(ClientAnswer, { assigned: { client: EXAMPLE_CLIENT } })] },
    ],
    refusals: [
      'CLIENT_NOT_FOUND',
      'SUBSCRIPTION_NOT_FOUND',
      'CLIENT_REVOKED',
      'SUBSCRIPTION_ENDED',
      'TOO_MANY_SUBSCRIPTIONS',
    ],
    path: [CLIENT_ID, SUBSCRIPTION_ID],
  })
  async assign(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @CommandParameter({ bodyless: true }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    return this.answer(reply, await this.commands.execute(new AssignToSubscription(clientId, subscriptionId, request)));
  }

  @Delete(':clientId/subscriptions/:subscriptionId')
  @CommandRoute({
    scopes: ['clients:write'],
    operationId: 'unassignFromSubscription',
    summary: 'Unassign a client from a subscription',
    answers: [
      {
        status: 200,
        description: 'The client',
        forms: [form(ClientAnswer, { unassigned: { client: { ...EXAMPLE_CLIENT, subscriptions: [], revision: 2 } } })],
      },
    ],
    refusals: ['CLIENT_NOT_FOUND', 'SUBSCRIPTION_NOT_FOUND'],
    path: [CLIENT_ID, SUBSCRIPTION_ID],
  })
  async unassign(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @CommandParameter({ bodyless: true }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    const { workspaceId, at } = request.caller;
    const reason = 'REQUESTED';
    const command = { type: 'UnassignFromSubscription', workspaceId, subscriptionId, reason, at } as const;
    return this.execute(clientId, command, request, reply);
  }

  @Post(':clientId/revoke')
  @HttpCode(200)
  @CommandRoute({
    scopes: ['clients:write'],
    operationId: 'revokeClient',
    summary: 'Revoke a client, for ever; with dryRun=true only show what that would end',
    answers: [
      {
        status: 200,
        description: 'The revoked client, or what the revocation would end',
        forms: [form(ClientAnswer, { revoked: { client: EXAMPLE_REVOKED_CLIENT } })],
        dryRun: form(RevocationPreview, {
          dryRun: { wouldLeave: EXAMPLE_CLIENT.subscriptions, wouldInvalidate: [1] },
        }),
      },
    ],
    refusals: ['INVALID_REASON', 'CLIENT_NOT_FOUND'],
    path: [CLIENT_ID],
  })
  @ApiQuery(DRY_RUN)
  async revoke(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query('dryRun') dryRun: unknown,
    @Body() body: RevokeClientBody,
    @CommandParameter({ query: ['dryRun'] }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer | RevocationPreview> {
    if (isTrue(dryRun)) return this.preview(new PreviewRevocation(clientId, body, request), reply);
    const { workspaceId, at } = request.caller;
    const { reason } = body;
    if (reason === undefined) throw validationFailed({ field: 'reason', message: 'reason must be a string' });
    return this.execute(clientId, { type: 'RevokeClient', workspaceId, reason, at }, request, reply);
  }

  @Get()
  @QueryRoute({
    scopes: ['clients:read', 'audit:read'],
    operationId: 'listClients',
    summary: 'The active clients, the revoked ones or all, by pages',
    answers: [{ status: 200, description: 'A page of clients', forms: CLIENT_PAGE_FORMS }],
    refusals: ['INVALID_CURSOR', 'SUBSCRIPTION_NOT_FOUND'],
  })
  list(
    @Query() parameters: ListClientsParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<ClientPage> {
    return this.queries.execute(new ListClients(workspaceId, parameters, token, parameters.subscriptionId));
  }

  @Get(':clientId')
  @QueryRoute({
    scopes: ['clients:read', 'audit:read'],
    operationId: 'getClient',
    summary: 'One client',
    answers: [
      {
        status: 200,
        description: 'The client',
        forms: [form(ClientView, { active: EXAMPLE_CLIENT, revoked: EXAMPLE_REVOKED_CLIENT })],
        headers: ['ETag'],
      },
    ],
    refusals: ['CLIENT_NOT_FOUND'],
    path: [CLIENT_ID],
  })
  async get(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientView> {
    const client = await this.queries.execute(new GetClient(workspaceId, clientId, token));
    void reply.header('etag', etagOf(client.revision));
    return client;
  }

  @Get(':clientId/history')
  @QueryRoute({
    scopes: ['audit:read'],
    operationId: 'getClientHistory',
    summary: 'Every event of a client, by pages, oldest first',
    answers: [{ status: 200, description: 'A page of events', forms: [form(HistoryPage, { page: EXAMPLE_HISTORY })] }],
    refusals: ['CLIENT_NOT_FOUND', 'INVALID_CURSOR'],
    path: [CLIENT_ID],
  })
  history(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query() parameters: PageQueryParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<HistoryPage> {
    return this.queries.execute(new GetHistory(workspaceId, historyOfClient(clientId), parameters, token));
  }

  @Get(':clientId/state')
  @LogQueryRoute({
    scopes: ['audit:read'],
    operationId: 'getClientState',
    summary: 'A client as it was at a moment, after one of its events, or at a place in the log',
    description:
      'Read from the event log itself. Give `at`, `revision` or `position`, or none for now. What depends on the clock ' +
      '(overlaps, expiries, static tokens) is judged at `basis.at`. By `revision` or `position`, the answer is exact ' +
      'across clients and subscriptions; by `at`, it is exact for each of them, by the time of its own events.',
    answers: [
      {
        status: 200,
        description: 'The client as it was, and whether it would have logged in',
        forms: [form(ClientStateView, { active: EXAMPLE_CLIENT_STATE, revoked: EXAMPLE_REVOKED_CLIENT_STATE })],
      },
    ],
    refusals: ['CLIENT_NOT_FOUND', 'NOT_YET', 'IN_THE_FUTURE'],
    path: [CLIENT_ID],
  })
  state(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query() parameters: BasisParameters,
    @CallerParameter() { workspaceId }: Caller,
  ): Promise<ClientStateView> {
    return this.queries.execute(new GetClientState(workspaceId, clientId, parameters));
  }

  private async preview<Effect>(query: NestQuery<Preview<Effect>>, reply: FastifyReply): Promise<Effect> {
    return answerPreview(reply, await this.queries.execute(query));
  }

  private async execute(
    clientId: ClientId,
    command: ConsumerClientCommand,
    request: CommandRequest,
    reply: FastifyReply,
  ): Promise<ClientAnswer> {
    const aggregateCommand = new AggregateCommand('clients', clientId, command, request);
    return this.answer(reply, await this.commands.execute(aggregateCommand));
  }

  private answer(reply: FastifyReply, executed: Executed<ConsumerClientState>): ClientAnswer {
    setPlaceHeaders(reply, this.dependencies.book, executed);
    const at = this.dependencies.clock().toISOString();
    return { client: clientView(executed.state, executed.revision, at) };
  }

  private answerWithCredential(
    reply: FastifyReply,
    draft: string | undefined,
    { executed, credential }: CredentialResult,
  ): CredentialAnswer {
    forbidCaching(reply);
    const answer = this.answer(reply, executed);
    if (credential) return { ...answer, credential };
    return draft === undefined ? { ...answer, credentialShown: true } : answer;
  }
}

const isTrue = (dryRun: unknown): boolean => {
  if (dryRun === undefined || dryRun === 'false') return false;
  if (dryRun === 'true') return true;
  throw validationFailed({ field: 'dryRun', message: 'must be true or false' });
};
