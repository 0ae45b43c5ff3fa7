import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsString } from 'class-validator';
import { type ClientId, type ConsumerClientState, MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH } from '#domain';
import type { Executed } from '#event-log';
import { MayBeAbsent, validationFailed } from '#platform';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import { IsNotTooLong } from '../requests/text-length.js';
import {
  DESCRIPTION_FIELD,
  EXTERNAL_ID_FIELD,
  IsExternalIdLength,
  IsLabels,
  LABEL_VALUE,
  LABELS_FIELD,
  MayBeNull,
} from './client-description.js';
import { ExternalIdClaims } from './external-id-claims.js';

/** The changes follow JSON Merge Patch (RFC 7396). */
@ApiSchema({ name: 'DescribeClient' })
export class DescribeClientBody {
  @ApiPropertyOptional({ minLength: 1, maxLength: 100, example: 'Forecast importer (Berlin)' })
  @MayBeAbsent()
  @IsString()
  @IsNotTooLong(MAX_NAME_LENGTH)
  name?: string;

  @ApiPropertyOptional({
    oneOf: [{ type: 'string', minLength: 1, maxLength: MAX_DESCRIPTION_LENGTH }, { type: 'null' }],
    example: DESCRIPTION_FIELD.example,
    description: 'null removes it',
  })
  @MayBeNull()
  @IsString()
  @IsNotTooLong(MAX_DESCRIPTION_LENGTH)
  description?: string | null;

  @ApiPropertyOptional({
    oneOf: [
      {
        type: 'object',
        additionalProperties: { oneOf: [LABEL_VALUE, { type: 'null' }] },
      },
      { type: 'null' },
    ],
    example: LABELS_FIELD.example,
    description: `${LABELS_FIELD.description}. Other labels stay; null removes a label, or all of them`,
  })
  @MayBeNull()
  @IsLabels({ orNull: true })
  labels?: Record<string, string | null> | null;

  @ApiPropertyOptional({
    oneOf: [{ type: 'string', pattern: EXTERNAL_ID_FIELD.pattern }, { type: 'null' }],
    example: EXTERNAL_ID_FIELD.example,
    description: `${EXTERNAL_ID_FIELD.description}. null removes it`,
  })
  @MayBeNull()
  @IsString()
  @IsExternalIdLength()
  externalId?: string | null;
}

export class DescribeClient extends Command<Executed<ConsumerClientState>> {
  constructor(
    readonly clientId: ClientId,
    readonly body: DescribeClientBody,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

@CommandHandler(DescribeClient)
export class DescribeClientHandler implements ICommandHandler<DescribeClient> {
  private readonly externalIds: ExternalIdClaims;

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {
    this.externalIds = new ExternalIdClaims(dependencies);
  }

  execute({ clientId, body, request }: DescribeClient): Promise<Executed<ConsumerClientState>> {
    if (Object.values(body).every((value) => value === undefined)) {
      throw validationFailed({ field: 'name', message: 'name, description, labels or externalId must be given' });
    }
    const { clients } = this.dependencies.book;
    const { workspaceId, at } = request.caller;
    const command = { type: 'DescribeClient', workspaceId, ...body, at } as const;
    if (typeof body.externalId !== 'string') return clients.execute(clientId, command, request);
    return clients.execute(
      clientId,
      async (state, revision) => {
        await this.externalIds.claimFor(clientId, { state, revision }, command, request);
        return command;
      },
      request,
    );
  }
}
