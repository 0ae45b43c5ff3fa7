import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiSchema } from '@nestjs/swagger';
import { IsString } from 'class-validator';
import { type EndpointUri, isEndpointUri, subscription, type SubscriptionId, type SubscriptionState } from '#domain';
import { type Executed, KeyedQueue, PreconditionFailed } from '#event-log';
import type { CommandContext, Revision } from '#events';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { claimContext } from '../requests/claim-context.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import { IsNotTooLong } from '../requests/text-length.js';

@ApiSchema({ name: 'RegisterSubscription' })
export class RegisterSubscriptionBody {
  @ApiProperty({ pattern: '^[a-z0-9][a-z0-9-]{2,62}$', example: 'acme-weather' })
  @IsString()
  @IsNotTooLong(63, 'match [a-z0-9][a-z0-9-]{2,62}')
  endpointUri!: string;

  @ApiProperty({ minLength: 1, maxLength: 100, example: 'Weather forecasts' })
  @IsString()
  @IsNotTooLong(100)
  serviceName!: string;
}

export class RegisterSubscription extends Command<Executed<SubscriptionState>> {
  constructor(
    readonly subscriptionId: SubscriptionId,
    readonly body: RegisterSubscriptionBody,
    readonly request: HttpCommandRequest,
  ) {
    super();
  }
}

/** New subscriptions and endpoint URIs are registered far more often than known ones. */
const PROBABLY_MISSING = { isProbablyMissing: true } as const;

interface Holder {
  readonly workspaceId: string;
  readonly subscriptionId: SubscriptionId;
}

/**
 * Writes to two streams without a common transaction:
 * 1. The handler claims the endpoint URI. Nobody else can then claim this URI for a while, which is longer than a
 *    registration takes.
 * 2. The handler registers the subscription. From then on, the claim holds for ever.
 * The streams of the subscription and of the endpoint URI are read together, before step 1.
 * If no registration has followed a claim, a later claim may take over the endpoint URI.
 */
@CommandHandler(RegisterSubscription)
export class RegisterSubscriptionHandler implements ICommandHandler<RegisterSubscription> {
  /**
   * Runs the registrations for one endpoint URI one after the other, within this process. The next claim thus waits
   * until the registration of the previous claim has finished.
   */
  private readonly queue = new KeyedQueue();

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute(command: RegisterSubscription): Promise<Executed<SubscriptionState>> {
    return this.queue.run(command.body.endpointUri, () => this.register(command));
  }

  private async register({ subscriptionId, body, request }: RegisterSubscription) {
    const { subscriptions } = this.dependencies.book;
    const { endpointUri } = body;
    const { context, caller, ifMatch } = request;
    const { workspaceId, at } = caller;
    const command = { type: 'RegisterSubscription', subscriptionId, ...body, workspaceId, at } as const;
    const claiming = this.readClaim(endpointUri);
    const { state } = await subscriptions.read(subscriptionId, PROBABLY_MISSING);
    if (state.status !== 'UNREGISTERED') return subscriptions.execute(subscriptionId, command, request);
    // `decide` throws here if the registration would be refused. A refused registration must not claim the endpoint URI.
    subscription.decide(state, command);
    if (ifMatch !== undefined) throw new PreconditionFailed(subscription.stream(subscriptionId));
    await this.claim(endpointUri, { workspaceId, subscriptionId }, context, (await claiming) === undefined);
    return subscriptions.execute(subscriptionId, command, { ...request, stream: 'missing' });
  }

  /**
   * Reads the endpoint URI's claim, by a strong read. Returns the claim's revision, or `undefined` if there is no claim.
   * An error concerns only those who await the result.
   */
  private readClaim(endpointUri: string): Promise<Revision | undefined> {
    // Only a valid endpoint URI may become part of a stream name. `decide` refuses any other.
    if (!isEndpointUri(endpointUri)) return Promise.resolve(undefined);
    const reading = this.dependencies.book.endpointUris.read(endpointUri, PROBABLY_MISSING);
    const claim = reading.then(({ revision }) => revision);
    claim.catch(() => undefined);
    return claim;
  }

  /** `isFree`: a strong read has just found no claim. */
  private async claim(
    endpointUri: EndpointUri,
    holder: Holder,
    context: CommandContext,
    isFree: boolean,
  ): Promise<void> {
    const { book, clock } = this.dependencies;
    await book.endpointUris.execute(
      endpointUri,
      async (state) => {
        const holderIsRegistered = state.status === 'CLAIMED' && (await this.isRegisteredWith(endpointUri, state));
        const { commandId } = context;
        // We use the time of the claim, not the time of the request, because the request may have waited in the queue.
        const at = clock().toISOString();
        return { type: 'ClaimEndpointUri', endpointUri, ...holder, commandId, holderIsRegistered, at };
      },
      { context: claimContext(context), isNew: true, ...(isFree && { stream: 'missing' }) },
    );
  }

  private async isRegisteredWith(endpointUri: EndpointUri, { subscriptionId, workspaceId }: Holder): Promise<boolean> {
    const { state } = await this.dependencies.book.subscriptions.read(subscriptionId);
    return state.status !== 'UNREGISTERED' && state.endpointUri === endpointUri && state.workspaceId === workspaceId;
  }
}
