import { randomUUID } from 'node:crypto';
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty } from '@nestjs/swagger';
import { IsString, MaxLength } from 'class-validator';
import {
  type EndpointUri,
  type SubscriptionId,
  type SubscriptionState,
  subscription,
  subscriptionStream,
} from '#domain';
import type { CommandContext } from '#events';
import { type Executed, PreconditionFailed, Turns } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';

export class RegisterSubscriptionBody {
  @ApiProperty({ pattern: '^[a-z0-9][a-z0-9-]{2,62}$', example: 'weather' })
  @IsString()
  @MaxLength(200)
  endpointUri!: string;

  @ApiProperty({ minLength: 1, maxLength: 100, example: 'Weather forecasts' })
  @IsString()
  @MaxLength(1000)
  serviceName!: string;
}

export class RegisterSubscription extends Command<Executed<SubscriptionState>> {
  constructor(
    readonly subscriptionId: SubscriptionId,
    readonly body: RegisterSubscriptionBody,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

interface Holder {
  readonly workspaceId: string;
  readonly subscriptionId: SubscriptionId;
}

/**
 * Two streams, no transaction between them: claim the endpoint URI, then register. A claim is its holder's alone for
 * longer than a registration may take, and for ever once its subscription is registered; one whose registration never
 * came may be taken over after that.
 */
@CommandHandler(RegisterSubscription)
export class RegisterSubscriptionHandler implements ICommandHandler<RegisterSubscription> {
  /** By endpoint URI: within a process a claim is followed by its registration before the next one is looked at. */
  private readonly turns = new Turns();

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute(command: RegisterSubscription): Promise<Executed<SubscriptionState>> {
    return this.turns.take(command.body.endpointUri, () => this.register(command));
  }

  private async register({ subscriptionId, body, request }: RegisterSubscription) {
    const { subscriptions } = this.dependencies.book;
    const { context, caller, ifMatch } = request;
    const { workspaceId, at } = caller;
    const command = { type: 'RegisterSubscription', subscriptionId, ...body, workspaceId, at } as const;
    const { state } = await subscriptions.read(subscriptionId);
    if (state.status === 'UNREGISTERED') {
      // Nothing is claimed for a registration that would be refused.
      subscription.decide(state, command);
      if (ifMatch !== undefined) throw new PreconditionFailed(subscriptionStream(subscriptionId));
      await this.claim(body.endpointUri, { workspaceId, subscriptionId }, context);
    }
    return subscriptions.execute(subscriptionId, command, context, request);
  }

  private async claim(endpointUri: EndpointUri, holder: Holder, context: CommandContext): Promise<void> {
    const { book, clock } = this.dependencies;
    await book.endpointUris.execute(
      endpointUri,
      async (state) => {
        const holderIsRegistered = state.status === 'CLAIMED' && (await this.isRegisteredWith(endpointUri, state));
        const { commandId } = context;
        // The time of the claim itself, not of the request, which may have waited for its turn.
        const at = clock().toISOString();
        return { type: 'ClaimEndpointUri', endpointUri, ...holder, commandId, holderIsRegistered, at };
      },
      stepOf(context),
    );
  }

  private async isRegisteredWith(endpointUri: EndpointUri, { subscriptionId, workspaceId }: Holder): Promise<boolean> {
    const { state } = await this.dependencies.book.subscriptions.read(subscriptionId);
    return state.status !== 'UNREGISTERED' && state.endpointUri === endpointUri && state.workspaceId === workspaceId;
  }
}

/** Each claim is decided anew, on what is true now: only the registration answers for the command's id. */
const stepOf = (context: CommandContext): CommandContext => ({
  ...context,
  commandId: randomUUID(),
  causationId: context.commandId,
});
