import type { SubscriptionId } from '#domain';
import { type BookOfRecord, internalContext, readLogId, StoreUnavailable } from '#event-log';
import { uuidV5 } from '#events';
import type { LeftOverClient } from './left-over-clients.js';

/** Sends the commands of `EndedSubscriptions`, and tells whether a failure concerns the whole log. */
export class Unassigner {
  /** When the log last accepted a command, in ms of the monotonic clock. */
  private acceptedAt = -Infinity;

  constructor(
    private readonly book: BookOfRecord,
    private readonly now: () => Date,
  ) {}

  /**
   * Reads the subscription's stream. Throws `Error` if the subscription has not ended, and what `CommandExecutor.read`
   * throws.
   */
  async requireEnded(subscriptionId: SubscriptionId): Promise<void> {
    const { state } = await this.book.subscriptions.read(subscriptionId);
    if (state.status !== 'ENDED')
      throw new Error(`Subscription ${subscriptionId} is ${state.status} in its own stream`);
  }

  /**
   * Unassigns the client. The command's id is computed from the end of the subscription and the client's assignment, so
   * a repetition sends the same command. Throws what `CommandExecutor.execute` throws.
   */
  async unassign({ clientId, revision, holder }: LeftOverClient): Promise<void> {
    const { workspaceId, subscriptionId, end } = holder;
    const at = this.now().toISOString();
    const reason = 'SUBSCRIPTION_ENDED';
    const command = { type: 'UnassignFromSubscription', workspaceId, subscriptionId, reason, at } as const;
    const context = internalContext({
      ...{ via: 'process-manager', subject: 'subscription-ends', workspaceId },
      commandId: uuidV5(`${clientId}/${revision}`, end.eventId),
      ...{ correlationId: end.correlationId, causationId: end.eventId },
    });
    const { outcome } = await this.book.clients.execute(clientId, command, { context });
    if (outcome === 'changed') this.acceptedAt = performance.now();
  }

  /**
   * Whether the error of a call that began at `begunAt` (in ms of the monotonic clock) concerns the whole log. It
   * concerns one stream only if the log works otherwise: the log can be read, and it has accepted another command since
   * then, or `reread`, which reads the stream again, fails once more.
   */
  async isOutage(error: unknown, begunAt: number, reread: () => Promise<unknown>): Promise<boolean> {
    if (!(error instanceof StoreUnavailable)) return false;
    if (!(await succeeds(() => readLogId(this.book.log)))) return true;
    return this.acceptedAt <= begunAt && (await succeeds(reread));
  }

  /** Reads the client's stream. Throws what `CommandExecutor.read` throws. */
  read({ clientId }: LeftOverClient): Promise<unknown> {
    return this.book.clients.read(clientId);
  }
}

const succeeds = (call: () => Promise<unknown>): Promise<boolean> =>
  call().then(
    () => true,
    () => false,
  );
