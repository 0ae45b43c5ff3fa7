import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { ClientId, ConsumerClientState, SubscriptionId } from '#domain';
import type { Executed } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';

export class AssignToSubscription extends Command<Executed<ConsumerClientState>> {
  constructor(
    readonly clientId: ClientId,
    readonly subscriptionId: SubscriptionId,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

/**
 * Whether the subscription lives is read from its own stream just before the decision. One that ends in between is
 * undone by the process manager of subscription ends; login refuses it at once.
 */
@CommandHandler(AssignToSubscription)
export class AssignToSubscriptionHandler implements ICommandHandler<AssignToSubscription> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ clientId, subscriptionId, request }: AssignToSubscription) {
    const { clients, subscriptions } = this.dependencies.book;
    const { workspaceId, at } = request.caller;
    const command = async () => {
      const { state: subscription } = await subscriptions.read(subscriptionId);
      return { type: 'AssignToSubscription', workspaceId, subscription, at } as const;
    };
    // A repeated command is answered from its events, whatever has become of the subscription.
    return clients.execute(clientId, request.isNew ? await command() : command, request.context, request);
  }
}
