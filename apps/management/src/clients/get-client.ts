import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type ClientId, type WorkspaceId, clientNotFound } from '#domain';
import type { ConsistencyToken } from '#event-log';
import { clients } from '#read-models';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { type ClientView, storedClientView } from './client.js';

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
    const readModel = await this.dependencies.readModels.at(clients, token);
    const found = await readModel.get(clientId);
    if (found?.doc.workspaceId !== workspaceId) throw clientNotFound();
    return storedClientView(found, this.dependencies.clock().toISOString());
  }
}
