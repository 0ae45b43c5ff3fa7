import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsString, Max, MaxLength, Min } from 'class-validator';
import { openDraft, requireFitting } from '#credentials';
import { type ClientId, MAX_OVERLAP_SECONDS, type RotateSecret as RotateSecretCommand } from '#domain';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import { type CredentialResult, executeWithNewCredential } from './issued-credential.js';

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

export class RotateSecret extends Command<CredentialResult> {
  constructor(
    readonly clientId: ClientId,
    readonly body: RotateSecretBody,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

@CommandHandler(RotateSecret)
export class RotateSecretHandler implements ICommandHandler<RotateSecret> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ clientId, body: { draft, overlapSeconds = 0 }, request }: RotateSecret): Promise<CredentialResult> {
    const { workspaceId, at } = request.caller;
    const command = { type: 'RotateSecret', workspaceId, overlapSeconds, at } as const;
    return draft === undefined
      ? executeWithNewCredential(this.dependencies, clientId, command, request)
      : this.rotateFromDraft(draft, clientId, command, request);
  }

  private async rotateFromDraft(
    jwe: string,
    clientId: ClientId,
    command: Omit<RotateSecretCommand, 'verifier'>,
    request: HttpCommandRequest,
  ): Promise<CredentialResult> {
    const { book, masterKeys } = this.dependencies;
    const { workspaceId, subject, at } = request.caller;
    const executed = await book.clients.execute(
      clientId,
      async () => {
        const draft = await openDraft(jwe, masterKeys);
        requireFitting(draft, { workspaceId, actor: subject, purpose: 'ROTATE', clientId }, at);
        return { ...command, verifier: draft.verifier, draft };
      },
      request,
    );
    return { executed };
  }
}
