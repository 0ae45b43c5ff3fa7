import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsString, Max, MaxLength, Min } from 'class-validator';
import { openDraft, requireFitting } from '#credentials';
import { type ClientId, MAX_OVERLAP_SECONDS, consumerClient, newestCredential } from '#domain';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';
import type { CredentialMade } from './create-client.js';
import { shownSecret } from './issued-credential.js';

export class RotateSecretBody {
  @ApiPropertyOptional({ description: 'From POST /v1/credential-drafts with this client’s id' })
  @MayBeAbsent()
  @IsString()
  @MaxLength(4096)
  draft?: string;

  @ApiPropertyOptional({ minimum: 0, maximum: MAX_OVERLAP_SECONDS, default: 0, example: 3600 })
  @MayBeAbsent()
  @IsInt()
  @Min(0)
  @Max(MAX_OVERLAP_SECONDS)
  overlapSeconds?: number;
}

export class RotateSecret extends Command<CredentialMade> {
  constructor(
    readonly clientId: ClientId,
    readonly body: RotateSecretBody,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

@CommandHandler(RotateSecret)
export class RotateSecretHandler implements ICommandHandler<RotateSecret> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ clientId, body, request }: RotateSecret): Promise<CredentialMade> {
    return body.draft === undefined
      ? this.rotateWithSecret(clientId, body, request)
      : this.rotateFromDraft(clientId, body, body.draft, request);
  }

  private async rotateFromDraft(
    clientId: ClientId,
    { overlapSeconds = 0 }: RotateSecretBody,
    jwe: string,
    request: CommandRequest,
  ): Promise<CredentialMade> {
    const { workspaceId, subject, at } = request.caller;
    const executed = await this.dependencies.book.clients.execute(
      clientId,
      async () => {
        const draft = await openDraft(jwe, this.dependencies.masterKeys);
        requireFitting(draft, { workspaceId, actor: subject, purpose: 'ROTATE', clientId }, at);
        return { type: 'RotateSecret', workspaceId, verifier: draft.verifier, draft, overlapSeconds, at };
      },
      request.context,
      request,
    );
    return { executed };
  }

  private async rotateWithSecret(
    clientId: ClientId,
    { overlapSeconds = 0 }: RotateSecretBody,
    request: CommandRequest,
  ): Promise<CredentialMade> {
    const { mint, book } = this.dependencies;
    const { workspaceId, at } = request.caller;
    let secret: string | undefined;
    const executed = await book.clients.execute(
      clientId,
      async (state) => {
        const command = { type: 'RotateSecret', workspaceId, overlapSeconds, at } as const;
        consumerClient.decide(state, { ...command, verifier: '' }); // refuses before the Argon2 run is paid for
        const minted = await mint.mint(clientId);
        secret = minted.secret;
        return { ...command, verifier: minted.verifier };
      },
      request.context,
      request,
    );
    // Whoever lost to the same command elsewhere has minted a secret, too: it is not the client's.
    if (secret === undefined || executed.outcome !== 'changed' || executed.state.status !== 'ACTIVE')
      return { executed };
    const { authenticationType } = executed.state;
    const { generation } = newestCredential(executed.state);
    return { executed, credential: { clientId, generation, ...shownSecret(authenticationType, clientId, secret) } };
  }
}
