import { randomUUID } from 'node:crypto';
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsIn, Matches } from 'class-validator';
import { apiKeyOf, DRAFT_LIFETIME_SECONDS, newClientId, sealDraft } from '#credentials';
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
import { EXAMPLE_CLIENT } from '../clients/client.js';
import { EXAMPLE_API_KEY, EXAMPLE_SECRET } from '../clients/issued-credential.js';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { type AnswerForm, form } from '../requests/api-documentation.js';
import type { Caller } from '../requests/management-guard.js';

@ApiSchema({ name: 'MintDraft' })
export class MintDraftBody {
  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  @IsIn(['API_KEY', 'OAUTH2'])
  authenticationType!: AuthenticationType;

  @ApiPropertyOptional({
    pattern: '^cc_[A-Za-z0-9]{16,40}$',
    description: 'For that client’s next rotation; absent: for a new client',
  })
  @MayBeAbsent()
  @Matches(/^cc_[A-Za-z0-9]{16,40}$/)
  clientId?: ClientId;
}

abstract class MintedDraftBase {
  @ApiProperty({ description: 'Opaque; for one POST /v1/clients or rotate by the same caller' })
  draft!: string;

  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T10:00:00.000Z' })
  expiresAt!: string;
}

export class MintedApiKey extends MintedDraftBase {
  @ApiProperty({ enum: ['API_KEY'] })
  authenticationType!: 'API_KEY';

  @ApiProperty({ description: 'The base64 of `clientId:secret`, which is sent as it is' })
  apiKey!: string;
}

export class MintedClientSecret extends MintedDraftBase {
  @ApiProperty({ enum: ['OAUTH2'] })
  authenticationType!: 'OAUTH2';

  @ApiProperty()
  clientSecret!: string;
}

export type MintedDraft = MintedApiKey | MintedClientSecret;

const EXAMPLE_DRAFT = {
  draft: 'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..c29tZSBub25jZQ.c29tZSBjaXBoZXJ0ZXh0.dGFn',
  clientId: EXAMPLE_CLIENT.clientId,
  expiresAt: '2026-11-24T10:00:00.000Z',
};

export const MINTED_FORMS: readonly [AnswerForm, AnswerForm] = [
  form(MintedApiKey, { apiKey: { ...EXAMPLE_DRAFT, authenticationType: 'API_KEY', apiKey: EXAMPLE_API_KEY } }),
  form(MintedClientSecret, {
    clientSecret: { ...EXAMPLE_DRAFT, authenticationType: 'OAUTH2', clientSecret: EXAMPLE_SECRET },
  }),
];

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
    const minted = { draft, clientId, expiresAt };
    return authenticationType === 'API_KEY'
      ? { ...minted, authenticationType, apiKey: apiKeyOf(clientId, secret) }
      : { ...minted, authenticationType, clientSecret: secret };
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
