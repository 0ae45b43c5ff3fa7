import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type ClientId, clientNotFound, type WorkspaceId } from '#domain';
import type { ConsistencyToken } from '#event-log';
import { projections } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { type ClientView, storedClientView } from './client.js';

const { clients, usage } = projections;

/** Asks for one client of the workspace. A client of another workspace counts as not found. */
export class GetClient extends Query<ClientView> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly clientId: ClientId,
    readonly token: ConsistencyToken | undefined,
  ) {
    super();
  }
}

@QueryHandler(GetClient)
export class GetClientHandler implements IQueryHandler<GetClient> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, clientId, token }: GetClient): Promise<ClientView> {
    const { readModels, clock, book } = this.dependencies;
    // No token for `usage`: uses are recorded once a minute, so waiting would not make `lastUsedAt` current.
    const [readModel, usages] = await Promise.all([readModels.at(clients, token), readModels.at(usage)]);
    const [found, used, quarantines] = await Promise.all([
      ...([readModel.get(clientId), usages.get(clientId)] as const),
      book.quarantines.inForceOrLastKnown(),
    ]);
    if (found?.doc.workspaceId !== workspaceId) throw clientNotFound();
    return storedClientView(found, used?.doc, quarantines, clock().toISOString());
  }
}
