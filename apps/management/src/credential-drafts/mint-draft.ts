import { randomUUID } from 'node:crypto';
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, Matches } from 'class-validator';
import { DRAFT_LIFETIME_SECONDS, newClientId, sealDraft } from '#credentials';
import {
  type AuthenticationType,
  type ClientId,
  clientNotFound,
  DomainError,
  newestCredential,
  secondsAfter,
  type WorkspaceId,
} from '#domain';
import { MayBeAbsent } from '#platform';
import { shownSecret } from '../clients/issued-credential.js';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { Caller } from '../requests/management-guard.js';

export class MintDraftBody {
  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  @IsIn(['API_KEY', 'OAUTH2'])
  authenticationType!: AuthenticationType;

  @ApiPropertyOptional({ description: 'For that client’s next rotation; absent: for a new client' })
  @MayBeAbsent()
  @Matches(/^cc_[A-Za-z0-9]{16,40}$/)
  clientId?: ClientId;
}

export class MintedDraft {
  @ApiProperty({ description: 'Opaque; for one POST /v1/clients or rotate by the same caller' })
  draft!: string;

  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  authenticationType!: AuthenticationType;

  @ApiPropertyOptional({ description: 'API_KEY: base64 of clientId:secret, usable as it is' })
  apiKey?: string;

  @ApiPropertyOptional({ description: 'OAUTH2' })
  clientSecret?: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T10:00:00.000Z' })
  expiresAt!: string;
}

export class MintDraft extends Command<MintedDraft> {
  constructor(
    readonly body: MintDraftBody,
    readonly caller: Caller,
  ) {
    super();
  }
}

/**
 * Mints a draft: a credential that no event contains yet. The portal's dialog shows the credential. Later, CreateClient
 * or RotateSecret attaches the draft to a client.
 */
@CommandHandler(MintDraft)
export class MintDraftHandler implements ICommandHandler<MintDraft> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ body, caller }: MintDraft): Promise<MintedDraft> {
    const { masterKeys, mint } = this.dependencies;
    const { authenticationType } = body;
    const target =
      body.clientId === undefined
        ? ({ purpose: 'CREATE', clientId: newClientId(), generation: 1 } as const)
        : await this.nextRotation(body.clientId, authenticationType, caller.workspaceId);
    const { secret, verifier, hint } = await mint.mint(target.clientId);
    const expiresAt = secondsAfter(caller.at, DRAFT_LIFETIME_SECONDS);
    const draft = await sealDraft(
      {
        ...target,
        draftId: randomUUID(),
        workspaceId: caller.workspaceId,
        actor: caller.subject,
        authenticationType,
        verifier,
        hint,
        expiresAt,
      },
      masterKeys,
    );
    const { clientId } = target;
    return { draft, clientId, authenticationType, ...shownSecret(authenticationType, clientId, secret), expiresAt };
  }

  private async nextRotation(clientId: ClientId, authenticationType: AuthenticationType, workspaceId: WorkspaceId) {
    const { state } = await this.dependencies.book.clients.read(clientId);
    if (state.status === 'NONE' || state.workspaceId !== workspaceId) throw clientNotFound();
    if (state.status === 'REVOKED') throw new DomainError('conflict', 'client_revoked', 'This client is revoked');
    if (state.authenticationType !== authenticationType) {
      throw new DomainError(
        'conflict',
        'wrong_authentication_type',
        'This client is of another type',
        'authenticationType',
      );
    }
    return { purpose: 'ROTATE', clientId, generation: newestCredential(state).generation + 1 } as const;
  }
}
