import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { addQueueMetrics, LOGGER, type Logger, ReadinessChecks, Registry, Starting } from '#platform';
import { ApiDescription } from '#platform/openapi';
import { NotReady, readModels } from '#read-models';
import { AssignToSubscriptionHandler } from './clients/assign-to-subscription.js';
import { ClientsController } from './clients/clients.controller.js';
import { CreateClientHandler } from './clients/create-client.js';
import { DescribeClientHandler } from './clients/describe-client.js';
import { GetClientHandler } from './clients/get-client.js';
import { ListClientsHandler } from './clients/list-clients.js';
import { PreviewRevocationHandler } from './clients/revoke-client.js';
import { PreviewRotationHandler, RotateSecretHandler } from './clients/rotate-secret.js';
import { CredentialDraftsController } from './credential-drafts/credential-drafts.controller.js';
import { MintDraftHandler } from './credential-drafts/mint-draft.js';
import { DEPENDENCIES, type ManagementDependencies } from './dependencies.js';
import { EvidenceController } from './evidence/evidence.controller.js';
import { GetEvidenceHandler } from './evidence/get-evidence.js';
import { EventStreams } from './feeds/event-streams.js';
import { FeedController } from './feeds/feed.controller.js';
import { GetFeedPageHandler } from './feeds/get-feed-page.js';
import { GetInstallationHistoryHandler, GetWorkspaceHistoryHandler } from './history/find-events.js';
import { GetHistoryHandler } from './history/get-history.js';
import { HistoryController } from './history/history.controller.js';
import { AskCouldCallHandler } from './replay/ask-could-call.js';
import { AskTokenStatusHandler } from './replay/ask-token-status.js';
import { GetAccessReviewHandler } from './replay/get-access-review.js';
import { GetClientStateHandler } from './replay/get-client-state.js';
import { GetDiffHandler } from './replay/get-diff.js';
import { ReplayController } from './replay/replay.controller.js';
import { AggregateCommandHandler } from './requests/aggregate-command.js';
import { managementDescription } from './requests/api-documentation.js';
import { PreviewEndHandler } from './subscriptions/end-subscription.js';
import { GetSubscriptionHandler } from './subscriptions/get-subscription.js';
import { ListSubscriptionsHandler } from './subscriptions/list-subscriptions.js';
import { RegisterSubscriptionHandler } from './subscriptions/register-subscription.js';
import { SubscriptionsController } from './subscriptions/subscriptions.controller.js';
import { TreeController } from './tree/tree.controller.js';
import { TreeHeadSchedule } from './tree/tree-head-schedule.js';

const COMMANDS = [
  AggregateCommandHandler,
  AssignToSubscriptionHandler,
  CreateClientHandler,
  DescribeClientHandler,
  MintDraftHandler,
  RegisterSubscriptionHandler,
  RotateSecretHandler,
];

const QUERIES = [
  AskCouldCallHandler,
  AskTokenStatusHandler,
  GetAccessReviewHandler,
  GetClientHandler,
  GetClientStateHandler,
  GetEvidenceHandler,
  GetDiffHandler,
  GetFeedPageHandler,
  GetHistoryHandler,
  GetInstallationHistoryHandler,
  GetWorkspaceHistoryHandler,
  GetSubscriptionHandler,
  ListClientsHandler,
  ListSubscriptionsHandler,
  PreviewEndHandler,
  PreviewRevocationHandler,
  PreviewRotationHandler,
];

/** The management API under `/v1`, for portal backends, auditors and operators. */
@Module({})
export class ManagementModule implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly treeHeads: TreeHeadSchedule;

  static with(dependencies: ManagementDependencies): DynamicModule {
    return {
      module: ManagementModule,
      imports: [CqrsModule.forRoot()],
      controllers: [
        ClientsController,
        CredentialDraftsController,
        EvidenceController,
        FeedController,
        HistoryController,
        ReplayController,
        SubscriptionsController,
        TreeController,
      ],
      providers: [{ provide: DEPENDENCIES, useValue: dependencies }, EventStreams, ...COMMANDS, ...QUERIES],
    };
  }

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies,
    @Inject(ReadinessChecks) private readonly readiness: ReadinessChecks,
    @Inject(ApiDescription) private readonly description: ApiDescription,
    @Inject(Registry) private readonly registry: Registry,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.treeHeads = new TreeHeadSchedule(dependencies, logger);
  }

  /**
   * Describes the API, and adds the metrics of the mint's queue and a readiness check for each read model. The check
   * passes when queries can read a build (copy of the documents) that this code's version of the read model has made,
   * and that is of this log.
   */
  onModuleInit(): void {
    this.description.add(managementDescription);
    const { mint } = this.dependencies;
    addQueueMetrics(this.registry, 'argon2', 'minting', () => mint.load);
    for (const projection of readModels.toSorted((one, other) => one.name.localeCompare(other.name))) {
      this.readiness.add(`read model ${projection.name}`, async () => {
        await this.dependencies.readModels.at(projection).catch((error: unknown) => {
          throw error instanceof NotReady ? new Starting(error.message) : error;
        });
      });
    }
    this.readiness.add('tree heads', () => this.treeHeads.check(), { isLogged: true });
  }

  onApplicationBootstrap(): void {
    this.treeHeads.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.treeHeads.stop();
  }
}
