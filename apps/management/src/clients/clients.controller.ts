import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiOperation, ApiProperty, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { ClientId, ConsumerClientState, SubscriptionId } from '#domain';
import type { ConsistencyToken, Executed } from '#event-log';
import { validationFailed } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { etagOf, neverStore, tellPlace } from '../requests/answer.js';
import { CommandRoute, QueryRoute } from '../requests/api-documentation.js';
import { CallerOf, CommandOf, type CommandRequest } from '../requests/command-request.js';
import { ConsistencyTokenOf } from '../requests/consistency-token.js';
import type { Caller } from '../requests/management-guard.js';
import { PageQueryParameters } from '../requests/page-query.js';
import { clientIdParameter, generationParameter, subscriptionIdParameter } from '../requests/path-parameters.js';
import { AssignToSubscription } from './assign-to-subscription.js';
import { ClientView, clientView } from './client.js';
import { CreateClient, CreateClientBody, type CredentialMade } from './create-client.js';
import { GetClient } from './get-client.js';
import { GetHistory, HistoryPage } from './get-history.js';
import { ClientWithCredential } from './issued-credential.js';
import { ClientPage, ListClients, ListClientsParameters } from './list-clients.js';
import { RenameClient, RenameClientBody } from './rename-client.js';
import { RetireCredential } from './retire-credential.js';
import { PreviewRevocation, RevocationPreview, RevokeClient, RevokeClientBody } from './revoke-client.js';
import { RotateSecret, RotateSecretBody } from './rotate-secret.js';
import { UnassignFromSubscription } from './unassign-from-subscription.js';

/** The answer to a command that makes no credential. */
class ClientAnswer {
  @ApiProperty({ type: ClientView })
  client!: ClientView;
}

/** Consumer clients: commands, and the two tables. */
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
    @CommandOf() request: CommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientWithCredential> {
    return this.withCredential(reply, body.draft, await this.commands.execute(new CreateClient(body, request)));
  }

  @Patch(':clientId')
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'Rename a client' })
  async rename(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Body() body: RenameClientBody,
    @CommandOf() request: CommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    return this.answered(reply, await this.commands.execute(new RenameClient(clientId, body, request)));
  }

  @Post(':clientId/rotate')
  @HttpCode(200)
  @CommandRoute('clients:write', { status: 200, type: ClientWithCredential })
  @ApiOperation({ summary: 'Give a client a new generation of its secret; the one before may overlap' })
  async rotate(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Body() body: RotateSecretBody,
    @CommandOf() request: CommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientWithCredential> {
    return this.withCredential(
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
    @CommandOf({ bodyless: true }) request: CommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    return this.answered(reply, await this.commands.execute(new RetireCredential(clientId, generation, request)));
  }

  @Put(':clientId/subscriptions/:subscriptionId')
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'Assign a client to a subscription of its workspace' })
  async assign(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @CommandOf({ bodyless: true }) request: CommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    return this.answered(
      reply,
      await this.commands.execute(new AssignToSubscription(clientId, subscriptionId, request)),
    );
  }

  @Delete(':clientId/subscriptions/:subscriptionId')
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'Unassign a client from a subscription' })
  async unassign(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Param('subscriptionId', subscriptionIdParameter) subscriptionId: SubscriptionId,
    @CommandOf({ bodyless: true }) request: CommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer> {
    const command = new UnassignFromSubscription(clientId, subscriptionId, request);
    return this.answered(reply, await this.commands.execute(command));
  }

  @Post(':clientId/revoke')
  @HttpCode(200)
  @CommandRoute('clients:write', { status: 200, type: ClientAnswer })
  @ApiOperation({ summary: 'Revoke a client, for ever; with dryRun=true only show what that would end' })
  @ApiQuery({ name: 'dryRun', required: false, enum: ['true', 'false'] })
  async revoke(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query('dryRun') dryRun: unknown,
    @Body() body: RevokeClientBody,
    @CommandOf({ query: ['dryRun'] }) request: CommandRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ClientAnswer | RevocationPreview> {
    if (isTrue(dryRun)) {
      const { workspaceId, at } = request.caller;
      return this.queries.execute(new PreviewRevocation(clientId, workspaceId, at));
    }
    if (body.reason === undefined) throw validationFailed({ field: 'reason', message: 'reason must be a string' });
    return this.answered(reply, await this.commands.execute(new RevokeClient(clientId, body.reason, request)));
  }

  @Get()
  @QueryRoute('clients:read', ClientPage)
  @ApiOperation({ summary: 'The active or the revoked table, by pages' })
  list(
    @Query() parameters: ListClientsParameters,
    @CallerOf() { workspaceId }: Caller,
    @ConsistencyTokenOf() token: ConsistencyToken | undefined,
  ): Promise<ClientPage> {
    return this.queries.execute(new ListClients(workspaceId, parameters, token));
  }

  @Get(':clientId')
  @QueryRoute('clients:read', ClientView)
  @ApiOperation({ summary: 'One client' })
  async get(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @CallerOf() { workspaceId }: Caller,
    @ConsistencyTokenOf() token: ConsistencyToken | undefined,
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
    @CallerOf() { workspaceId }: Caller,
    @ConsistencyTokenOf() token: ConsistencyToken | undefined,
  ): Promise<HistoryPage> {
    return this.queries.execute(new GetHistory(workspaceId, clientId, parameters, token));
  }

  private answered(reply: FastifyReply, executed: Executed<ConsumerClientState>): ClientAnswer {
    tellPlace(reply, this.dependencies.book, executed);
    const at = this.dependencies.clock().toISOString();
    return { client: clientView(executed.state, executed.revision, at) };
  }

  private withCredential(
    reply: FastifyReply,
    draft: string | undefined,
    { executed, credential }: CredentialMade,
  ): ClientWithCredential {
    neverStore(reply);
    const answer = this.answered(reply, executed);
    if (credential) return { ...answer, credential };
    return draft === undefined ? { ...answer, credentialShown: true } : answer;
  }
}

const isTrue = (dryRun: unknown): boolean => {
  if (dryRun === undefined || dryRun === 'false') return false;
  if (dryRun === 'true') return true;
  throw validationFailed({ field: 'dryRun', message: 'must be true or false' });
};
