import { type DynamicModule, Inject, Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { ReadinessChecks } from '#platform';
import { clients, history, subscriptions } from '#read-models';
import { AssignToSubscriptionHandler } from './clients/assign-to-subscription.js';
import { ClientsController } from './clients/clients.controller.js';
import { CreateClientHandler } from './clients/create-client.js';
import { GetClientHandler } from './clients/get-client.js';
import { GetHistoryHandler } from './clients/get-history.js';
import { ListClientsHandler } from './clients/list-clients.js';
import { RenameClientHandler } from './clients/rename-client.js';
import { RetireCredentialHandler } from './clients/retire-credential.js';
import { PreviewRevocationHandler, RevokeClientHandler } from './clients/revoke-client.js';
import { RotateSecretHandler } from './clients/rotate-secret.js';
import { UnassignFromSubscriptionHandler } from './clients/unassign-from-subscription.js';
import { CredentialDraftsController } from './credential-drafts/credential-drafts.controller.js';
import { MintDraftHandler } from './credential-drafts/mint-draft.js';
import { DEPENDENCIES, type ManagementDependencies } from './dependencies.js';
import { ManagementGuard } from './requests/management-guard.js';
import { EndSubscriptionHandler } from './subscriptions/end-subscription.js';
import { ListSubscriptionsHandler } from './subscriptions/list-subscriptions.js';
import { RegisterSubscriptionHandler } from './subscriptions/register-subscription.js';
import { SubscriptionsController } from './subscriptions/subscriptions.controller.js';

const COMMANDS = [
  AssignToSubscriptionHandler,
  CreateClientHandler,
  EndSubscriptionHandler,
  MintDraftHandler,
  RegisterSubscriptionHandler,
  RenameClientHandler,
  RetireCredentialHandler,
  RevokeClientHandler,
  RotateSecretHandler,
  UnassignFromSubscriptionHandler,
];

const QUERIES = [
  GetClientHandler,
  GetHistoryHandler,
  ListClientsHandler,
  ListSubscriptionsHandler,
  PreviewRevocationHandler,
];

/** The management API under `/v1`: commands and queries of portal backends, auditors and operators. */
@Module({})
export class ManagementModule implements OnModuleInit {
  static with(dependencies: ManagementDependencies): DynamicModule {
    return {
      module: ManagementModule,
      imports: [CqrsModule.forRoot()],
      controllers: [ClientsController, CredentialDraftsController, SubscriptionsController],
      providers: [{ provide: DEPENDENCIES, useValue: dependencies }, ManagementGuard, ...COMMANDS, ...QUERIES],
    };
  }

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies,
    @Inject(ReadinessChecks) private readonly readiness: ReadinessChecks,
  ) {}

  /** Not ready before this code's version of each read model that it answers from has caught up once. */
  onModuleInit(): void {
    for (const projection of [clients, history, subscriptions]) {
      this.readiness.add(`read model ${projection.name}`, async () => {
        await this.dependencies.readModels.served(projection);
      });
    }
  }
}
