import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty } from '@nestjs/swagger';
import { IsString, MaxLength } from 'class-validator';
import type { ClientId, ConsumerClientState } from '#domain';
import type { Executed } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';

export class RenameClientBody {
  @ApiProperty({ minLength: 1, maxLength: 100, example: 'Forecast importer (Berlin)' })
  @IsString()
  @MaxLength(1000)
  name!: string;
}

export class RenameClient extends Command<Executed<ConsumerClientState>> {
  constructor(
    readonly clientId: ClientId,
    readonly body: RenameClientBody,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

@CommandHandler(RenameClient)
export class RenameClientHandler implements ICommandHandler<RenameClient> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ clientId, body: { name }, request }: RenameClient) {
    const { workspaceId, at } = request.caller;
    const command = { type: 'RenameClient', workspaceId, name, at } as const;
    return this.dependencies.book.clients.execute(clientId, command, request.context, request);
  }
}
