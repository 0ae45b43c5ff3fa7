import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsString, MaxLength } from 'class-validator';
import { clientIdOfCommand, openDraft, requireFitting } from '#credentials';
import { type AuthenticationType, type ConsumerClientState, consumerClient } from '#domain';
import type { Executed } from '#event-log';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';
import { type IssuedCredential, shownSecret } from './issued-credential.js';

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

export interface CredentialMade {
  readonly executed: Executed<ConsumerClientState>;
  /** Absent with a draft, and when the command is repeated. */
  readonly credential?: IssuedCredential;
}

export class CreateClient extends Command<CredentialMade> {
  constructor(
    readonly body: CreateClientBody,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

@CommandHandler(CreateClient)
export class CreateClientHandler implements ICommandHandler<CreateClient> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ body, request }: CreateClient): Promise<CredentialMade> {
    return body.draft === undefined
      ? this.createWithSecret(body, request)
      : this.createFromDraft(body, body.draft, request);
  }

  private async createFromDraft(body: CreateClientBody, jwe: string, request: CommandRequest): Promise<CredentialMade> {
    const draft = await openDraft(jwe, this.dependencies.masterKeys);
    const { clientId, draftId, verifier } = draft;
    const { workspaceId, subject, at } = request.caller;
    const executed = await this.dependencies.book.clients.execute(
      clientId,
      () => {
        const { name, authenticationType } = body;
        requireFitting(draft, { workspaceId, actor: subject, purpose: 'CREATE', authenticationType }, at);
        return { type: 'CreateClient', clientId, workspaceId, name, authenticationType, verifier, draftId, at };
      },
      request.context,
      request,
    );
    return { executed };
  }

  private async createWithSecret(body: CreateClientBody, request: CommandRequest): Promise<CredentialMade> {
    const { mint, book } = this.dependencies;
    const { workspaceId, at } = request.caller;
    const { name, authenticationType } = body;
    const clientId = clientIdOfCommand(request.context.commandId);
    let secret: string | undefined;
    const executed = await book.clients.execute(
      clientId,
      async (state) => {
        const command = { type: 'CreateClient', clientId, workspaceId, name, authenticationType, at } as const;
        consumerClient.decide(state, { ...command, verifier: '' }); // refuses before the Argon2 run is paid for
        const minted = await mint.mint(clientId);
        secret = minted.secret;
        return { ...command, verifier: minted.verifier };
      },
      request.context,
      request,
    );
    // Whoever lost to the same command elsewhere has minted a secret, too: it is not the client's.
    if (secret === undefined || executed.outcome !== 'changed') return { executed };
    return { executed, credential: { clientId, generation: 1, ...shownSecret(authenticationType, clientId, secret) } };
  }
}
