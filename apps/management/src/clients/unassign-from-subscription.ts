import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { ClientId, ConsumerClientState, SubscriptionId } from '#domain';
import type { Executed } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';

export class UnassignFromSubscription extends Command<Executed<ConsumerClientState>> {
  constructor(
    readonly clientId: ClientId,
    readonly subscriptionId: SubscriptionId,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

@CommandHandler(UnassignFromSubscription)
export class UnassignFromSubscriptionHandler implements ICommandHandler<UnassignFromSubscription> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ clientId, subscriptionId, request }: UnassignFromSubscription) {
    const { workspaceId, at } = request.caller;
    const command = { type: 'UnassignFromSubscription', workspaceId, subscriptionId, reason: 'REQUESTED', at } as const;
    return this.dependencies.book.clients.execute(clientId, command, request.context, request);
  }
}
