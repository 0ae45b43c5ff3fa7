import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type SubscriptionId, subscriptionNotFound, type WorkspaceId } from '#domain';
import type { ConsistencyToken } from '#event-log';
import { projections } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { storedSubscriptionView, type SubscriptionView } from './subscription.js';

/** Asks for one subscription of the workspace. A subscription of another workspace counts as not found. */
export class GetSubscription extends Query<SubscriptionView> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly subscriptionId: SubscriptionId,
    readonly token: ConsistencyToken | undefined,
  ) {
    super();
  }
}

@QueryHandler(GetSubscription)
export class GetSubscriptionHandler implements IQueryHandler<GetSubscription> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, subscriptionId, token }: GetSubscription): Promise<SubscriptionView> {
    const { readModels, book } = this.dependencies;
    const readModel = await readModels.at(projections.subscriptions, token);
    const [found, quarantines] = await Promise.all([
      readModel.get(subscriptionId),
      book.quarantines.inForceOrLastKnown(),
    ]);
    if (found?.doc.workspaceId !== workspaceId) throw subscriptionNotFound();
    return storedSubscriptionView(found, quarantines);
  }
}
