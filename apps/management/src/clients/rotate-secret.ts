import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsInt, IsString, Max, MaxLength, Min } from 'class-validator';
import { type CredentialDraft, type MasterKeys, openDraft, requireFitting } from '#credentials';
import {
  type ClientId,
  clientNotFound,
  goodCredentials,
  MAX_OVERLAP_SECONDS,
  newestCredential,
  type RotateSecret as RotateSecretCommand,
} from '#domain';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import { instantOf, IsDateTime } from '../requests/date-time.js';
import type { Caller } from '../requests/management-guard.js';
import type { Preview } from '../requests/response-headers.js';
import { type CredentialResult, executeWithNewCredential, EXPIRY_FIELD } from './issued-credential.js';

@ApiSchema({ name: 'RotateSecret' })
export class RotateSecretBody {
  @ApiPropertyOptional({ maxLength: 4096, description: 'From POST /v1/credential-drafts with this client’s id' })
  @MayBeAbsent()
  @IsString()
  @MaxLength(4096)
  draft?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: MAX_OVERLAP_SECONDS, default: 0, example: 3600 })
  @MayBeAbsent()
  @IsInt()
  @Min(0)
  @Max(MAX_OVERLAP_SECONDS)
  overlapSeconds?: number;

  @ApiPropertyOptional(EXPIRY_FIELD)
  @MayBeAbsent()
  @IsDateTime()
  expiresAt?: string;
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

/** Returns the command of a request, without the new secret. */
const rotationOf = ({ overlapSeconds = 0, expiresAt }: RotateSecretBody, { workspaceId, at }: Caller) =>
  ({
    type: 'RotateSecret',
    ...{ workspaceId, overlapSeconds, at },
    ...(expiresAt !== undefined && { expiresAt: instantOf(expiresAt) }),
  }) as const;

@CommandHandler(RotateSecret)
export class RotateSecretHandler implements ICommandHandler<RotateSecret> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ clientId, body, request }: RotateSecret): Promise<CredentialResult> {
    const { draft } = body;
    const command = rotationOf(body, request.caller);
    return draft === undefined
      ? executeWithNewCredential<RotateSecretCommand>(this.dependencies, clientId, () => command, request)
      : this.rotateFromDraft(draft, clientId, command, request);
  }

  private async rotateFromDraft(
    jwe: string,
    clientId: ClientId,
    command: Omit<RotateSecretCommand, 'verifier'>,
    request: HttpCommandRequest,
  ): Promise<CredentialResult> {
    const { book, masterKeys } = this.dependencies;
    const executed = await book.clients.execute(
      clientId,
      async () => {
        const draft = await fittingDraft(jwe, masterKeys, clientId, request.caller);
        const { verifier, hint } = draft;
        return { ...command, verifier, ...(hint !== undefined && { hint }), draft };
      },
      request,
    );
    return { executed };
  }
}

/** The credentials as they would be after a rotation. */
export class RotationPreview {
  @ApiProperty({
    type: 'integer',
    minimum: 2,
    example: 2,
    description: 'The generation that the new secret would have',
  })
  generation!: number;

  @ApiProperty({
    type: 'array',
    items: { type: 'integer', minimum: 1 },
    example: [1],
    description: 'Generations that would stop being good at once',
  })
  wouldInvalidate!: number[];

  @ApiPropertyOptional({
    format: 'date-time',
    description: 'When the secret before the new one would stop being good; absent without an overlap',
  })
  previousExpiresAt?: string;
}

export class PreviewRotation extends Query<Preview<RotationPreview>> {
  constructor(
    readonly clientId: ClientId,
    readonly body: RotateSecretBody,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

/** Decides the rotation as the command does, so it is refused in the same cases. Nothing is minted or written. */
@QueryHandler(PreviewRotation)
export class PreviewRotationHandler implements IQueryHandler<PreviewRotation> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ clientId, body, request }: PreviewRotation): Promise<Preview<RotationPreview>> {
    const { book, masterKeys } = this.dependencies;
    const { draft: jwe } = body;
    const { caller } = request;
    const { at } = caller;
    const rotation = async () => {
      const draft = jwe === undefined ? undefined : await fittingDraft(jwe, masterKeys, clientId, caller);
      return { ...rotationOf(body, caller), verifier: '', ...(draft && { draft }) };
    };
    const { state, revision, after } = await book.clients.preview(clientId, rotation, request);
    if (state.status !== 'ACTIVE' || after.status !== 'ACTIVE' || revision === undefined) throw clientNotFound();
    const stillGood = new Map(goodCredentials(after, at).map(({ generation, expiresAt }) => [generation, expiresAt]));
    const before = goodCredentials(state, at).map(({ generation }) => generation);
    const previousExpiresAt = stillGood.get(newestCredential(state).generation);
    const effect = {
      generation: newestCredential(after).generation,
      wouldInvalidate: before.filter((generation) => !stillGood.has(generation)),
      ...(previousExpiresAt !== undefined && { previousExpiresAt }),
    };
    return { effect, revision };
  }
}

/** Opens a draft for a rotation. Throws if the draft is not for this client and this caller. */
async function fittingDraft(
  jwe: string,
  masterKeys: MasterKeys,
  clientId: ClientId,
  { workspaceId, subject, at }: Caller,
): Promise<CredentialDraft> {
  const draft = await openDraft(jwe, masterKeys);
  requireFitting(draft, { workspaceId, actor: subject, purpose: 'ROTATE', clientId }, at);
  return draft;
}
