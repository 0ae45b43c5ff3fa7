import type { SubscriptionId } from '#domain';
import {
  type BookOfRecord,
  type CallOptions,
  canBeRead,
  concernsOneStream,
  internalContext,
  StoreUnavailable,
} from '#event-log';
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
  async requireEnded(subscriptionId: SubscriptionId, options?: CallOptions): Promise<void> {
    const { state } = await this.book.subscriptions.read(subscriptionId, options);
    if (state.status !== 'ENDED')
      throw new Error(`Subscription ${subscriptionId} is ${state.status} in its own stream`);
  }

  /**
   * Unassigns the client. The command's id is computed from the end of the subscription and the client's assignment, so
   * a repetition sends the same command. Throws what `CommandExecutor.execute` throws.
   */
  async unassign({ clientId, revision, subscription }: LeftOverClient, options?: CallOptions): Promise<void> {
    const { workspaceId, subscriptionId, end } = subscription;
    const at = this.now().toISOString();
    const reason = 'SUBSCRIPTION_ENDED';
    const command = { type: 'UnassignFromSubscription', workspaceId, subscriptionId, reason, at } as const;
    const context = internalContext({
      ...{ via: 'process-manager', subject: 'subscription-ends', workspaceId },
      commandId: uuidV5(`${clientId}/${revision}`, end.eventId),
      ...{ correlationId: end.correlationId, causationId: end.eventId },
    });
    const { outcome } = await this.book.clients.execute(clientId, command, { context, ...options });
    if (outcome === 'changed') this.acceptedAt = performance.now();
  }

  /**
   * Whether the error of a call that began at `begunAt` (in ms of the monotonic clock) concerns the whole log. It
   * concerns one stream only if the log works otherwise: the log can be read, and it has accepted another command since
   * then, or `reread`, which reads the stream again, fails once more.
   */
  async isOutage(error: unknown, begunAt: number, reread: () => Promise<unknown>): Promise<boolean> {
    if (!(error instanceof StoreUnavailable)) return false;
    if (this.acceptedAt > begunAt) return !(await canBeRead(this.book.log));
    return !(await concernsOneStream(this.book.log, reread));
  }

  /** Reads the client's stream. Throws what `CommandExecutor.read` throws. */
  read({ clientId }: LeftOverClient, options?: CallOptions): Promise<unknown> {
    return this.book.clients.read(clientId, options);
  }
}
