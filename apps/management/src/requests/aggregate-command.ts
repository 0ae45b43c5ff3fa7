import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { BookOfRecord, CommandRequest, Executed } from '#event-log';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';

/** The aggregates that the API can change. Each name is a property of `BookOfRecord`. */
type Name = 'clients' | 'subscriptions';

type Execute<N extends Name> = BookOfRecord[N]['execute'];
type Aggregates = {
  readonly [N in Name]: {
    id: Parameters<Execute<N>>[0];
    command: Exclude<Parameters<Execute<N>>[1], (...known: never[]) => unknown>;
    state: Awaited<ReturnType<Execute<N>>>['state'];
  };
};

type Executors = {
  readonly [N in Name]: {
    execute(
      id: Aggregates[N]['id'],
      command: Aggregates[N]['command'],
      request: CommandRequest,
    ): Promise<Executed<Aggregates[N]['state']>>;
  };
};

/**
 * A domain command whose content comes from the request alone. If a command also needs something else (a read of
 * another stream, a minted secret), it has its own class and handler.
 */
export class AggregateCommand<N extends Name> extends Command<Executed<Aggregates[N]['state']>> {
  constructor(
    readonly aggregate: N,
    readonly id: Aggregates[N]['id'],
    readonly command: Aggregates[N]['command'],
    readonly request: CommandRequest,
  ) {
    super();
  }
}

@CommandHandler(AggregateCommand)
export class AggregateCommandHandler implements ICommandHandler<AggregateCommand<Name>> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  execute<N extends Name>({ aggregate, id, command, request }: AggregateCommand<N>) {
    const executors: Executors = this.dependencies.book;
    return executors[aggregate].execute(id, command, request);
  }
}
