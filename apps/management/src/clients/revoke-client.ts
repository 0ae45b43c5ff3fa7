import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsString, MaxLength } from 'class-validator';
import { type ClientId, clientNotFound, goodCredentials, type WorkspaceId } from '#domain';
import { MayBeAbsent } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { Preview } from '../requests/response-headers.js';
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
  @MaxLength(2000)
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
    readonly workspaceId: WorkspaceId,
    readonly at: string,
  ) {
    super();
  }
}

@QueryHandler(PreviewRevocation)
export class PreviewRevocationHandler implements IQueryHandler<PreviewRevocation> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ clientId, workspaceId, at }: PreviewRevocation): Promise<Preview<RevocationPreview>> {
    const { state, revision } = await this.dependencies.book.clients.read(clientId);
    if (state.status === 'NONE' || revision === undefined) throw clientNotFound();
    if (state.workspaceId !== workspaceId) throw clientNotFound();
    if (state.status === 'REVOKED') return { effect: { wouldLeave: [], wouldInvalidate: [] }, revision };
    const effect = {
      wouldLeave: [...state.subscriptions.values()],
      wouldInvalidate: goodCredentials(state, at).map(({ generation }) => generation),
    };
    return { effect, revision };
  }
}
