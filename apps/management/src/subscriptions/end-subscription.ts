import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, MaxLength } from 'class-validator';
import type { SubscriptionId, SubscriptionState } from '#domain';
import type { Executed } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import type { CommandRequest } from '../requests/command-request.js';

export class EndSubscriptionQuery {
  @ApiPropertyOptional({ maxLength: 500, description: 'Kept in the history', example: 'The contract is over' })
  @IsOptional()
  @IsString()
  @MaxLength(2000)
  reason?: string;
}

/** The clients are unassigned afterwards, by the process manager of subscription ends; logins are refused at once. */
export class EndSubscription extends Command<Executed<SubscriptionState>> {
  constructor(
    readonly subscriptionId: SubscriptionId,
    readonly reason: string,
    readonly request: CommandRequest,
  ) {
    super();
  }
}

@CommandHandler(EndSubscription)
export class EndSubscriptionHandler implements ICommandHandler<EndSubscription> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute({ subscriptionId, reason, request }: EndSubscription) {
    const { workspaceId, at } = request.caller;
    const command = { type: 'EndSubscription', workspaceId, reason, at } as const;
    return this.dependencies.book.subscriptions.execute(subscriptionId, command, request.context, request);
  }
}
