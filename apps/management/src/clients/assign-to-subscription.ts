import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { ClientId, ConsumerClientState, SubscriptionId } from '#domain';
import type { Executed } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { HttpCommandRequest } from '../requests/command-request.js';

export class AssignToSubscription extends Command<Executed<ConsumerClientState>> {
  constructor(
    readonly clientId: ClientId,
    readonly subscriptionId: SubscriptionId,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

/**
 * Reads the subscription's own stream just before the decision. If the subscription ends after this read, logins with
 * the subscription are refused at once, and a process manager unassigns the client a little later.
 */
@CommandHandler(AssignToSubscription)
export class AssignToSubscriptionHandler implements ICommandHandler<AssignToSubscription> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ clientId, subscriptionId, request }: AssignToSubscription) {
    const { clients, subscriptions } = this.dependencies.book;
    const { workspaceId, at } = request.caller;
    const newCommand = async () => {
      const { state: subscription } = await subscriptions.read(subscriptionId);
      return { type: 'AssignToSubscription', workspaceId, subscription, at } as const;
    };
    // If a command is repeated, the event of its first execution is stored already, and `newCommand` is not called.
    // Only a request with an `Idempotency-Key` (`isNew` is false) can be a repetition.
    return clients.execute(clientId, request.isNew ? await newCommand() : newCommand, request);
  }
}
