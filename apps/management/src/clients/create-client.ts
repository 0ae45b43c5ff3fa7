import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsString, MaxLength } from 'class-validator';
import { clientIdOfCommand, openDraft, requireFitting } from '#credentials';
import type { AuthenticationType } from '#domain';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import { type CredentialResult, executeWithNewCredential } from './issued-credential.js';

export class CreateClientBody {
  @ApiProperty({ minLength: 1, maxLength: 100, example: 'Forecast importer' })
  @IsString()
  @MaxLength(1000)
  name!: string;

  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  @IsIn(['API_KEY', 'OAUTH2'])
  authenticationType!: AuthenticationType;

  @ApiPropertyOptional({ description: 'From POST /v1/credential-drafts; without it the answer carries the credential' })
  @MayBeAbsent()
  @IsString()
  @MaxLength(4096)
  draft?: string;
}

export class CreateClient extends Command<CredentialResult> {
  constructor(
    readonly body: CreateClientBody,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

@CommandHandler(CreateClient)
export class CreateClientHandler implements ICommandHandler<CreateClient> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ body: { draft, ...body }, request }: CreateClient): Promise<CredentialResult> {
    return draft === undefined ? this.createWithSecret(body, request) : this.createFromDraft(draft, body, request);
  }

  private async createFromDraft(
    jwe: string,
    { name, authenticationType }: CreateClientBody,
    request: HttpCommandRequest,
  ): Promise<CredentialResult> {
    const { book, masterKeys } = this.dependencies;
    const draft = await openDraft(jwe, masterKeys);
    const { clientId, draftId, verifier } = draft;
    const { workspaceId, subject, at } = request.caller;
    const executed = await book.clients.execute(
      clientId,
      () => {
        requireFitting(draft, { workspaceId, actor: subject, purpose: 'CREATE', authenticationType }, at);
        return { type: 'CreateClient', clientId, workspaceId, name, authenticationType, verifier, draftId, at };
      },
      { ...request, stream: 'probably missing' },
    );
    return { executed };
  }

  private createWithSecret({ name, authenticationType }: CreateClientBody, request: HttpCommandRequest) {
    const { workspaceId, at } = request.caller;
    const clientId = clientIdOfCommand(request.context.commandId);
    const command = { type: 'CreateClient', clientId, workspaceId, name, authenticationType, at } as const;
    // The id of a new command was made for this request, and so was the client's id.
    const stream = request.isNew === true ? 'missing' : 'probably missing';
    return executeWithNewCredential(this.dependencies, clientId, command, { ...request, stream });
  }
}
