import { randomUUID } from 'node:crypto';
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty } from '@nestjs/swagger';
import { IsString, MaxLength } from 'class-validator';
import { DomainError, type EndpointUri, type SubscriptionId, type SubscriptionState, subscription } from '#domain';
import type { CommandContext } from '#events';
import { type Executed, Turns } from '#event-log';
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
 * Two streams, no transaction between them: claim the endpoint URI, register, then claim it once more.
 * A claim counts for ever once its subscription is registered, and may be taken over until then. So who takes one over
 * looks at the former holder again afterwards, and gives way to one that has registered meanwhile; and who has
 * registered makes sure that the claim is still its own, taking it back from one that never registered. Whatever
 * crashes in between, at most one registered subscription is named by the claim, and login follows the claim.
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
    const { context, caller } = request;
    const { workspaceId, at } = caller;
    const command = { type: 'RegisterSubscription', subscriptionId, ...body, workspaceId, at } as const;
    const before = await subscriptions.read(subscriptionId);
    if (before.state.status === 'UNREGISTERED') {
      subscription.decide(before.state, command); // nothing is claimed for a registration that would be refused
      await this.claim(body.endpointUri, { workspaceId, subscriptionId }, context, at);
    }
    const executed = await subscriptions.execute(subscriptionId, command, context, request);
    if (executed.state.status === 'LIVE') {
      const { endpointUri } = executed.state;
      await this.claim(endpointUri, { workspaceId, subscriptionId }, context, at);
    }
    return executed;
  }

  private async claim(endpointUri: EndpointUri, holder: Holder, context: CommandContext, at: string): Promise<void> {
    const former = await this.appendClaim(endpointUri, holder, context, at);
    if (former && (await this.isRegisteredWith(endpointUri, former))) {
      await this.appendClaim(endpointUri, former, context, at);
      throw new DomainError('endpoint_uri_taken', 'This endpoint URI is taken', 'endpointUri');
    }
  }

  /** Answers the holder whose claim was taken over, if there was one. */
  private async appendClaim(
    endpointUri: EndpointUri,
    holder: Holder,
    context: CommandContext,
    at: string,
  ): Promise<Holder | undefined> {
    let former: Holder | undefined;
    await this.dependencies.book.endpointUris.execute(
      endpointUri,
      async (state) => {
        former = state.status === 'CLAIMED' && !isSame(state, holder) ? state : undefined;
        const holderIsRegistered = former !== undefined && (await this.isRegisteredWith(endpointUri, former));
        const { commandId } = context;
        return { type: 'ClaimEndpointUri', endpointUri, ...holder, commandId, holderIsRegistered, at };
      },
      stepOf(context),
    );
    return former;
  }

  private async isRegisteredWith(endpointUri: EndpointUri, { subscriptionId, workspaceId }: Holder): Promise<boolean> {
    const { state } = await this.dependencies.book.subscriptions.read(subscriptionId);
    return state.status !== 'UNREGISTERED' && state.endpointUri === endpointUri && state.workspaceId === workspaceId;
  }
}

const isSame = (a: Holder, b: Holder) => a.workspaceId === b.workspaceId && a.subscriptionId === b.subscriptionId;

/** Each claim is decided anew, on what is true now: only the registration answers for the command's id. */
const stepOf = (context: CommandContext): CommandContext => ({
  ...context,
  commandId: randomUUID(),
  causationId: context.commandId,
});
