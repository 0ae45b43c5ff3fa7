import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, type Query as NestQuery, QueryBus } from '@nestjs/cqrs';
import { ApiOperation, ApiProperty, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import {
  type ClientId,
  consumerClient,
  type ConsumerClientCommand,
  type ConsumerClientState,
  type SubscriptionId,
} from '#domain';
import type { CommandRequest, ConsistencyToken, Executed } from '#event-log';
import { validationFailed } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { GetHistory, historyOfClient, HistoryPage } from '../history/get-history.js';
import { AggregateCommand } from '../requests/aggregate-command.js';
import { CommandRoute, QueryRoute } from '../requests/api-documentation.js';
import { CallerParameter, CommandParameter, type HttpCommandRequest } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { clientIdParameter, generationParameter, subscriptionIdParameter } from '../requests/path-parameters.js';
import { ConsistencyTokenParameter, PageQueryParameters } from '../requests/query-request.js';
import { answerPreview, etagOf, forbidCaching, type Preview, setPlaceHeaders } from '../requests/response-headers.js';
import { AssignToSubscription } from './assign-to-subscription.js';
import { ClientView, clientView } from './client.js';
import { CreateClient, CreateClientBody } from './create-client.js';
import { DescribeClient, DescribeClientBody } from './describe-client.js';
import { GetClient } from './get-client.js';
import { ClientWithCredential, type CredentialResult } from './issued-credential.js';
import { ClientPage, ListClients, ListClientsParameters } from './list-clients.js';
import { PreviewRevocation, RevocationPreview, RevokeClientBody } from './revoke-client.js';
import { PreviewRotation, RotateSecret, RotateSecretBody, RotationPreview } from './rotate-secret.js';

/** Response body of a command that creates no credential. */
class ClientAnswer {
  @ApiProperty({ type: ClientView })
  client!: ClientView;
}

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
  @CommandRoute('clients:write', { status: 201, type: ClientWithCredential })
  @ApiOperation({ summary: 'Create a client' })
  async create(
    @Body() body: CreateClientBody,
    @CommandParameter() request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientWithCredential> {
    return this.answerWithCredential(reply, body.draft, await this.commands.execute(new CreateClient(body, request)));
  }

  @Patch(':clientId')
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'Change the name, the description, the labels or the external id of a client' })
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
  @CommandRoute('clients:write', { status: 200, type: ClientWithCredential, dryRun: RotationPreview })
  @ApiOperation({ summary: 'Rotate the secret, with or without an overlap; with dryRun=true only show the effect' })
  @ApiQuery({ name: 'dryRun', required: false, enum: ['true', 'false'] })
  async rotate(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query('dryRun') dryRun: unknown,
    @Body() body: RotateSecretBody,
    @CommandParameter({ query: ['dryRun'] }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientWithCredential | RotationPreview> {
    if (isTrue(dryRun))
      return this.preview(clientId, new PreviewRotation(clientId, body, request.caller), request, reply);
    return this.answerWithCredential(
      reply,
      body.draft,
      await this.commands.execute(new RotateSecret(clientId, body, request)),
    );
  }

  @Delete(':clientId/credentials/:generation')
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'End the overlap of an older generation now' })
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
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'Assign a client to a subscription of its workspace' })
  async assign(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @CommandParameter({ bodyless: true }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    return this.answer(reply, await this.commands.execute(new AssignToSubscription(clientId, subscriptionId, request)));
  }

  @Delete(':clientId/subscriptions/:subscriptionId')
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'Unassign a client from a subscription' })
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
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer, dryRun: RevocationPreview })
  @ApiOperation({ summary: 'Revoke a client, for ever; with dryRun=true only show what that would end' })
  @ApiQuery({ name: 'dryRun', required: false, enum: ['true', 'false'] })
  async revoke(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query('dryRun') dryRun: unknown,
    @Body() body: RevokeClientBody,
    @CommandParameter({ query: ['dryRun'] }) request: HttpCommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer | RevocationPreview> {
    const { workspaceId, at } = request.caller;
    if (isTrue(dryRun)) return this.preview(clientId, new PreviewRevocation(clientId, workspaceId, at), request, reply);
    const { reason } = body;
    if (reason === undefined) throw validationFailed({ field: 'reason', message: 'reason must be a string' });
    return this.execute(clientId, { type: 'RevokeClient', workspaceId, reason, at }, request, reply);
  }

  @Get()
  @QueryRoute(['clients:read', 'audit:read'], ClientPage)
  @ApiOperation({ summary: 'The active clients, the revoked ones or all, by pages' })
  list(
    @Query() parameters: ListClientsParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<ClientPage> {
    return this.queries.execute(new ListClients(workspaceId, parameters, token, parameters.subscriptionId));
  }

  @Get(':clientId')
  @QueryRoute(['clients:read', 'audit:read'], ClientView)
  @ApiOperation({ summary: 'One client' })
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
  @QueryRoute('audit:read', HistoryPage)
  @ApiOperation({ summary: 'Every event of a client, by pages, oldest first' })
  history(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query() parameters: PageQueryParameters,
    @CallerParameter() { workspaceId }: Caller,
    @ConsistencyTokenParameter() token: ConsistencyToken | undefined,
  ): Promise<HistoryPage> {
    return this.queries.execute(new GetHistory(workspaceId, historyOfClient(clientId), parameters, token));
  }

  private async preview<Effect>(
    clientId: ClientId,
    query: NestQuery<Preview<Effect>>,
    request: CommandRequest,
    reply: FastifyReply,
  ): Promise<Effect> {
    return answerPreview(reply, consumerClient.stream(clientId), request, await this.queries.execute(query));
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
  ): ClientWithCredential {
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
