import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { ClientId, ConsumerClientState } from '#domain';
import type { Executed } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';

/** Ends the overlap of a generation before its time. */
export class RetireCredential extends Command<Executed<ConsumerClientState>> {
  constructor(
    readonly clientId: ClientId,
    readonly generation: number,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

@CommandHandler(RetireCredential)
export class RetireCredentialHandler implements ICommandHandler<RetireCredential> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ clientId, generation, request }: RetireCredential) {
    const { workspaceId, at } = request.caller;
    const command = { type: 'RetireCredential', workspaceId, generation, at } as const;
    return this.dependencies.book.clients.execute(clientId, command, request.context, request);
  }
}
