import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { ArrayMaxSize, ArrayUnique, IsArray, IsIn, IsString, Matches, MaxLength } from 'class-validator';
import { clientIdOfCommand, openDraft, requireFitting } from '#credentials';
import {
  type AuthenticationType,
  type CreateClient as CreateClientCommand,
  MAX_DESCRIPTION_LENGTH,
  MAX_FIRST_SUBSCRIPTIONS,
  MAX_NAME_LENGTH,
  SUBSCRIPTION_ID,
  type SubscriptionId,
} from '#domain';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import { instantOf, IsDateTime } from '../requests/date-time.js';
import { IsNotTooLong } from '../requests/text-length.js';
import {
  DESCRIPTION_FIELD,
  EXTERNAL_ID_FIELD,
  IsExternalIdLength,
  IsLabels,
  LABEL_VALUE,
  LABELS_FIELD,
} from './client-description.js';
import { ExternalIdClaims } from './external-id-claims.js';
import { type CredentialResult, executeWithNewCredential, EXPIRY_FIELD } from './issued-credential.js';

@ApiSchema({ name: 'CreateClient' })
export class CreateClientBody {
  @ApiProperty({ minLength: 1, maxLength: 100, example: 'Forecast importer' })
  @IsString()
  @IsNotTooLong(MAX_NAME_LENGTH)
  name!: string;

  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  @IsIn(['API_KEY', 'OAUTH2'])
  authenticationType!: AuthenticationType;

  @ApiPropertyOptional({
    maxLength: 4096,
    description: 'From POST /v1/credential-drafts; without it the answer carries the credential',
  })
  @MayBeAbsent()
  @IsString()
  @MaxLength(4096)
  draft?: string;

  @ApiPropertyOptional(EXPIRY_FIELD)
  @MayBeAbsent()
  @IsDateTime()
  expiresAt?: string;

  @ApiPropertyOptional(DESCRIPTION_FIELD)
  @MayBeAbsent()
  @IsString()
  @IsNotTooLong(MAX_DESCRIPTION_LENGTH)
  description?: string;

  @ApiPropertyOptional({ ...LABELS_FIELD, additionalProperties: LABEL_VALUE })
  @MayBeAbsent()
  @IsLabels()
  labels?: Record<string, string>;

  @ApiPropertyOptional(EXTERNAL_ID_FIELD)
  @MayBeAbsent()
  @IsString()
  @IsExternalIdLength()
  externalId?: string;

  @ApiPropertyOptional({
    type: 'array',
    items: { type: 'string', pattern: SUBSCRIPTION_ID.source },
    maxItems: MAX_FIRST_SUBSCRIPTIONS,
    uniqueItems: true,
    example: ['sub_weather_1'],
    description: 'Ids of live subscriptions of the workspace, to which the client is assigned at once',
  })
  @MayBeAbsent()
  @IsArray()
  @ArrayMaxSize(MAX_FIRST_SUBSCRIPTIONS)
  @ArrayUnique()
  @Matches(SUBSCRIPTION_ID, { each: true })
  subscriptions?: SubscriptionId[];
}

export class CreateClient extends Command<CredentialResult> {
  constructor(
    readonly body: CreateClientBody,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

type NewClient = Omit<CreateClientCommand, 'clientId' | 'verifier' | 'hint' | 'draftId'>;

/**
 * Creates a client and assigns it to its first subscriptions by one append. Reads the streams of the subscriptions for
 * each request. If a subscription ends after this read, the same happens as to any other assignment
 * (`AssignToSubscriptionHandler`).
 */
@CommandHandler(CreateClient)
export class CreateClientHandler implements ICommandHandler<CreateClient> {
  private readonly externalIds: ExternalIdClaims;

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {
    this.externalIds = new ExternalIdClaims(dependencies);
  }

  execute({ body: { draft, subscriptions = [], expiresAt, ...fields }, request }: CreateClient) {
    const { workspaceId, at } = request.caller;
    const expiry = expiresAt !== undefined && { expiresAt: instantOf(expiresAt) };
    // The client's stream and the subscriptions' are read together. An error concerns only a command that is new.
    const reading = Promise.all(subscriptions.map((id) => this.dependencies.book.subscriptions.read(id)));
    reading.catch(() => undefined);
    const newClient = async (): Promise<NewClient> => ({
      ...{ type: 'CreateClient', workspaceId, ...fields, ...expiry, at },
      subscriptions: (await reading).map(({ state }) => state),
    });
    return draft === undefined
      ? this.createWithSecret(newClient, request)
      : this.createFromDraft(draft, newClient, request);
  }

  private async createFromDraft(
    jwe: string,
    newClient: () => Promise<NewClient>,
    request: HttpCommandRequest,
  ): Promise<CredentialResult> {
    const { book, masterKeys } = this.dependencies;
    const draft = await openDraft(jwe, masterKeys);
    const { clientId, draftId, verifier, hint } = draft;
    const { workspaceId, subject, at } = request.caller;
    const executed = await book.clients.execute(
      clientId,
      async (state, revision) => {
        const client = await newClient();
        const { authenticationType } = client;
        requireFitting(draft, { workspaceId, actor: subject, purpose: 'CREATE', authenticationType }, at);
        const command = { ...client, clientId, verifier, draftId, ...(hint !== undefined && { hint }) };
        await this.externalIds.claimFor(clientId, { state, revision }, command, request);
        return command;
      },
      { ...request, stream: 'probably missing' },
    );
    return { executed };
  }

  private createWithSecret(newClient: () => Promise<NewClient>, request: HttpCommandRequest) {
    const clientId = clientIdOfCommand(request.context.commandId);
    // The id of a new command was made for this request, and so was the client's id.
    const stream = request.isNew === true ? 'missing' : 'probably missing';
    return executeWithNewCredential<CreateClientCommand>(
      this.dependencies,
      clientId,
      async () => ({ ...(await newClient()), clientId }),
      { ...request, stream },
      (known, command) => this.externalIds.claimFor(clientId, known, command, request),
    );
  }
}
