import type { ClientId, SubscriptionId } from '#domain';
import { type BookOfRecord, LogUnavailable, RevisionConflict } from '#event-log';
import { type CommandContext, uuidV5 } from '#events';
import { type BuildName, type FollowedEvent, type ReadStore, ProjectionStopped, mayPass } from '#read-models';
import { type AssignmentDocument, assignments, clientIdOf } from './assignments.js';

const PAGE = 500;

/**
 * The process manager that unassigns every client of a subscription that has ended. It acts after its own model of
 * assignments was brought up to the batch, and before the batch's checkpoint is stored: what a crash cuts short is done
 * again, and finds its own commands in the log.
 */
export class SubscriptionEnds {
  constructor(
    private readonly book: BookOfRecord,
    private readonly store: ReadStore,
    private readonly now: () => Date,
  ) {}

  /**
   * Throws `ProjectionStopped` at an event that it can't do its part about; `LogUnavailable`, `ReadStoreUnavailable`, and
   * the signal's reason between two commands: thousands of clients are not waited for when the process ends.
   */
  async react(events: readonly FollowedEvent[], build: BuildName, signal: AbortSignal): Promise<void> {
    const ended = new Map<SubscriptionId, Promise<boolean>>();
    for (const event of events) {
      try {
        await this.reactTo(event, ended, build, signal);
      } catch (error) {
        throw mayPass(error) || signal.aborted ? error : new ProjectionStopped(assignments.name, event, error);
      }
    }
  }

  private async reactTo(
    event: FollowedEvent,
    ended: Map<SubscriptionId, Promise<boolean>>,
    build: BuildName,
    signal: AbortSignal,
  ): Promise<void> {
    if (event.type === 'SubscriptionEnded') await this.unassignAll(event, event.data.subscriptionId, build, signal);
    if (event.type === 'ConsumerClientAssignedToSubscription') {
      // An assignment that was decided just before the end may have been written just after it. One read, which
      // comes after all these events, stands for every assignment of the batch.
      const { subscriptionId } = event.data;
      const hasEnded = ended.get(subscriptionId) ?? this.hasEnded(subscriptionId);
      ended.set(subscriptionId, hasEnded);
      if (await hasEnded) await this.unassign(event, clientIdOf(event), subscriptionId);
    }
  }

  private async unassignAll(
    event: FollowedEvent,
    subscriptionId: SubscriptionId,
    build: BuildName,
    signal: AbortSignal,
  ): Promise<void> {
    let after: { value: string; id: string } | undefined;
    do {
      const page = await this.store.find<AssignmentDocument>(build, {
        equals: { subscriptionId, assigned: true },
        sort: { field: 'clientId', direction: 'asc' },
        ...(after && { after }),
        limit: PAGE,
      });
      for (const { doc } of page) {
        signal.throwIfAborted();
        await this.unassign(event, doc.clientId, subscriptionId);
      }
      const last = page.length === PAGE ? page.at(-1) : undefined;
      after = last && { value: last.doc.clientId, id: last.id };
    } while (after);
  }

  private async hasEnded(subscriptionId: SubscriptionId): Promise<boolean> {
    const { state } = await this.book.subscriptions.read(subscriptionId);
    return state.status === 'ENDED';
  }

  private async unassign(cause: FollowedEvent, clientId: ClientId, subscriptionId: SubscriptionId): Promise<void> {
    const { workspaceId } = cause.metadata;
    if (workspaceId === undefined) throw new Error(`${cause.type} without a workspace`);
    const at = this.now().toISOString();
    const reason = 'SUBSCRIPTION_ENDED';
    const command = { type: 'UnassignFromSubscription', workspaceId, subscriptionId, reason, at } as const;
    try {
      await this.book.clients.execute(clientId, command, contextOf(cause, clientId));
    } catch (error) {
      if (!(error instanceof RevisionConflict)) throw error;
      throw new LogUnavailable('Others are faster on this client', { cause: error }); // the loop comes again
    }
  }
}

/** Derived from the cause, so that whoever does it again does the same command again. */
const contextOf = (cause: FollowedEvent, clientId: ClientId): CommandContext => ({
  commandId: uuidV5(clientId, cause.eventId),
  commandHash: '',
  actor: { subject: 'subscription-ends', roles: [], via: 'process-manager' },
  ...(cause.metadata.workspaceId !== undefined && { workspaceId: cause.metadata.workspaceId }),
  correlationId: cause.metadata.correlationId,
  causationId: cause.eventId,
});
