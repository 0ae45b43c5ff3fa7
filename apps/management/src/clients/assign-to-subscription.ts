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
 * Reads the subscription's own stream for each request. If the subscription ends after this read, logins with
 * the subscription are refused at once, and a process manager unassigns the client a little later.
 */
@CommandHandler(AssignToSubscription)
export class AssignToSubscriptionHandler implements ICommandHandler<AssignToSubscription> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ clientId, subscriptionId, request }: AssignToSubscription) {
    const { clients, subscriptions } = this.dependencies.book;
    const { workspaceId, at } = request.caller;
    // The client's stream and the subscription's are read together. An error concerns only a command that is new.
    const reading = subscriptions.read(subscriptionId);
    reading.catch(() => undefined);
    const newCommand = async () => {
      const { state: subscription } = await reading;
      return { type: 'AssignToSubscription', workspaceId, subscription, at } as const;
    };
    // A request without an `Idempotency-Key` is decided on the client's remembered state, which needs no read. A repeated
    // command is found in the client's stream, and `newCommand` is not called.
    const needsNoRead = request.isNew === true && clients.remembered(clientId) !== undefined;
    return clients.execute(clientId, needsNoRead ? await newCommand() : newCommand, request);
  }
}
