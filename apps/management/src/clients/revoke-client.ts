import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsString } from 'class-validator';
import { type ClientId, clientNotFound, goodCredentials, MAX_REASON_LENGTH } from '#domain';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import type { Preview } from '../requests/response-headers.js';
import { IsNotTooLong } from '../requests/text-length.js';
import { AssignmentView } from './client.js';

@ApiSchema({ name: 'RevokeClient' })
export class RevokeClientBody {
  @ApiPropertyOptional({
    minLength: 1,
    maxLength: 500,
    example: 'The importer was retired',
    description: 'Optional only in a dry run',
  })
  @MayBeAbsent()
  @IsString()
  @IsNotTooLong(MAX_REASON_LENGTH)
  reason?: string;
}

/**
 * The credentials and assignments that a revocation would end. Both lists are empty if the client is already revoked.
 */
export class RevocationPreview {
  @ApiProperty({ type: [AssignmentView], description: 'Subscriptions that the client would leave' })
  wouldLeave!: AssignmentView[];

  @ApiProperty({
    type: 'array',
    items: { type: 'integer', minimum: 1 },
    example: [1],
    description: 'Generations that would stop being good',
  })
  wouldInvalidate!: number[];
}

export class PreviewRevocation extends Query<Preview<RevocationPreview>> {
  constructor(
    readonly clientId: ClientId,
    readonly body: RevokeClientBody,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

/** Decides the revocation as the command does, so it is refused in the same cases. The reason may be absent. */
@QueryHandler(PreviewRevocation)
export class PreviewRevocationHandler implements IQueryHandler<PreviewRevocation> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ clientId, body, request }: PreviewRevocation): Promise<Preview<RevocationPreview>> {
    const { clients } = this.dependencies.book;
    const { workspaceId, at } = request.caller;
    const { reason = 'Dry run' } = body;
    const command = { type: 'RevokeClient', workspaceId, reason, at } as const;
    const { state, revision } = await clients.preview(clientId, command, request);
    if (state.status === 'NONE' || revision === undefined) throw clientNotFound();
    if (state.status === 'REVOKED') return { effect: { wouldLeave: [], wouldInvalidate: [] }, revision };
    const effect = {
      wouldLeave: [...state.subscriptions.values()],
      wouldInvalidate: goodCredentials(state, at).map(({ generation }) => generation),
    };
    return { effect, revision };
  }
}
