import type { SubscriptionId } from '#domain';
import { type CallOptions, type FollowedEvent, OpenOutages, repeatUntilAborted } from '#event-log';
import type { BuildName, ManagedBuild } from '#read-models';
import { isAssignmentId, partsOf } from './assignments.js';
import { type FailedWorkOptions, FailedWorkQueue, type Failure } from './failed-work-queue.js';
import { forEachConcurrently } from './for-each-concurrently.js';
import { type EndedSubscription, type LeftOverClient, LeftOverClients } from './left-over-clients.js';
import type { FailedWork, ProcessManagerDependencies, ProcessManagerStatus } from './process-manager.js';
import { Unassigner } from './unassigner.js';
import { WakeUp } from './wake-up.js';

export interface EndedSubscriptionsOptions extends FailedWorkOptions {
  /** Number of clients that are unassigned at the same time (default 12). */
  readonly concurrency?: number;
}

const CONCURRENCY = 12;
/** Work that is tried again may fail slowly. So it never takes the places of new work. */
const RETRY_CONCURRENCY = 4;
/**
 * Number of pieces of failed work that are tried again in one round. Work that becomes due meanwhile waits for the end
 * of the round.
 */
const RETRIES_PER_ROUND = 20;
/** The longest time that the first attempt may take. A piece of work that needs longer is tried again by itself. */
const FIRST_ATTEMPT: CallOptions = { deadlineMs: 1_000 };
/** The largest number of subscriptions that wait to be looked up. If there are more, all are looked up. */
const MAX_TO_LOOK_UP = 10_000;
/** While more work than this has failed, further failures are only counted. Otherwise they would flood the log file. */
const MAX_REPORTED = 100;
/** If the memory for failed work is full, the clients that it does not hold are tried again after this many ms. */
const RETRY_FORGOTTEN_EVERY_MS = 600_000;
/** The longest wait of a loop that has nothing to do, in ms. */
const IDLE_MS = 60_000;

interface Attempt {
  readonly work: () => Promise<unknown>;
  /** Reads the streams that `work` needs. */
  readonly reread: () => Promise<unknown>;
}

/** One pass over the subscriptions that are to be looked up. */
interface Round {
  hasFailed: boolean;
  isInterrupted: boolean;
}

/**
 * Unassigns all clients from ended subscriptions, on the documents of one build of `assignments`.
 *
 * 1. The documents tell which subscriptions have ended but still have clients (`isLeftOver`). This is the work. It needs
 *    no other record: a crash, a restart or a change to another process loses nothing, because the work stays in the
 *    documents until the log contains its events.
 * 2. At the start, and after each interruption, the list of `isLeftOver` is read. After that, a subscription is looked
 *    up when an event ends it or assigns a client to it. An assignment that was decided before the end may come after
 *    the end.
 * 3. The documents alone decide nothing: before its clients are unassigned, the subscription's own stream is read.
 * 4. Several clients are unassigned at the same time. A command may be sent again, also by two processes at once. The
 *    second command changes nothing.
 * 5. If the command on one client fails, this client goes to the queue of failed work. It is tried again after growing
 *    pauses, and all others go on. The same holds for a subscription whose stream can't be read.
 * 6. Many clients that each fail slowly delay no other subscription for long: the first attempt has a short deadline,
 *    and after a failure, a round stops to let subscriptions go first that are to be looked up since.
 * 7. If the whole log or the read store fails, no client's attempts are counted. The round is repeated after a pause.
 */
export class EndedSubscriptions implements ManagedBuild {
  readonly ended: Promise<void>;
  private readonly clients: LeftOverClients;
  private readonly unassigner: Unassigner;
  private readonly failedWork: FailedWorkQueue;
  /** Subscriptions that are to be looked up. */
  private toLookUp = new Set<SubscriptionId>();
  private looksUpAll = false;
  private isCurrent = false;
  private readonly newWork = new WakeUp();
  private readonly newFailure = new WakeUp();
  private failedAttempts = 0;
  /** Whether a client has failed that `failedWork` does not hold, because it was full. */
  private hasForgotten = false;
  private forgottenTriedAt = performance.now();
  private readonly outages: OpenOutages;

  constructor(
    private readonly dependencies: ProcessManagerDependencies,
    build: BuildName,
    private readonly signal: AbortSignal,
    private readonly options: EndedSubscriptionsOptions,
  ) {
    const { book, readStore, clock } = dependencies;
    this.clients = new LeftOverClients(readStore, build);
    this.unassigner = new Unassigner(book, clock);
    this.failedWork = new FailedWorkQueue(options);
    this.outages = new OpenOutages(dependencies.observer);
    const loops = [this.repeat(() => this.unassignRound()), this.repeat(() => this.retryRound())];
    this.ended = Promise.all(loops).then(() => undefined);
  }

  written(events: readonly FollowedEvent[]): void {
    if (!this.isCurrent) return;
    for (const { type, data } of events) {
      if (type === 'SubscriptionEnded' || type === 'ConsumerClientAssignedToSubscription') {
        this.toLookUp.add(data.subscriptionId);
      }
    }
    if (this.toLookUp.size > MAX_TO_LOOK_UP) this.lookUpAll();
    if (this.toLookUp.size > 0) this.newWork.notify();
  }

  caughtUp(): void {
    this.isCurrent = true;
    this.lookUpAll();
  }

  status(): ProcessManagerStatus {
    const { failedWork, failedAttempts } = this;
    const { error: outage } = this.outages;
    return {
      failing: failedWork.size,
      failedAttempts,
      lasting: failedWork.lasting().map(named),
      ...(outage && { outage }),
    };
  }

  private lookUpAll(): void {
    this.looksUpAll = true;
    this.toLookUp.clear();
    this.newWork.notify();
  }

  /** Repeats a round until the signal aborts. An error that a round throws concerns all work, so it is an outage. */
  private repeat(round: () => Promise<void>): Promise<void> {
    const work = async (recovered: () => void) => {
      await round();
      recovered();
    };
    const isOutage = (error: unknown): error is Error => error instanceof Error;
    return repeatUntilAborted(this.signal, this.outages.ofLoop(), work, { isOutage });
  }

  private async unassignRound(): Promise<void> {
    if (this.toLookUp.size === 0 && !this.looksUpAll) await this.newWork.wait(IDLE_MS, this.signal);
    if (this.signal.aborted) return;
    const { toLookUp, looksUpAll } = this;
    this.toLookUp = new Set();
    this.looksUpAll = false;
    const round: Round = { hasFailed: false, isInterrupted: false };
    let isComplete = false;
    try {
      const work = this.workOf(this.clients.ended([...toLookUp], looksUpAll), round);
      await forEachConcurrently(work, this.options.concurrency ?? CONCURRENCY, async (client) => {
        const attempt = {
          work: () => this.unassigner.unassign(client, FIRST_ATTEMPT),
          reread: () => this.unassigner.read(client, FIRST_ATTEMPT),
        };
        if (!(await this.attempt(client.id, attempt))) round.hasFailed = true;
      });
      isComplete = !round.isInterrupted;
    } finally {
      if (!isComplete) {
        // The subscriptions that came up during the round go first.
        for (const id of toLookUp) this.toLookUp.add(id);
        this.looksUpAll ||= looksUpAll;
      }
    }
  }

  private async *workOf(subscriptions: AsyncIterable<EndedSubscription>, round: Round): AsyncGenerator<LeftOverClient> {
    for await (const subscription of subscriptions) {
      if (this.mustInterrupt(round)) return;
      const { subscriptionId } = subscription;
      if (this.failedWork.has(subscriptionId)) continue;
      if (!(await this.isEnded(subscriptionId, FIRST_ATTEMPT))) {
        round.hasFailed = true;
        continue;
      }
      for await (const client of this.clients.clientsOf(subscription)) {
        if (this.mustInterrupt(round)) return;
        if (!this.failedWork.has(client.id)) yield client;
      }
    }
  }

  /**
   * Whether the round must stop to let other subscriptions go first. Each round that stops has added work to the queue
   * of failed work, which the next round passes over. So the rounds come to an end.
   */
  private mustInterrupt(round: Round): boolean {
    round.isInterrupted = round.hasFailed && this.toLookUp.size > 0 && !this.failedWork.isFull;
    return round.isInterrupted;
  }

  private async retryRound(): Promise<void> {
    await this.newFailure.wait(Math.min(this.failedWork.msUntilDue ?? IDLE_MS, IDLE_MS), this.signal);
    if (this.signal.aborted) return;
    await forEachConcurrently(this.failedWork.due(RETRIES_PER_ROUND), RETRY_CONCURRENCY, (id) =>
      isAssignmentId(id) ? this.retryClient(id) : this.retrySubscription(id),
    );
    this.retryForgottenIfDue();
  }

  private async retryClient(id: string): Promise<void> {
    const client = await this.clients.client(id);
    if (!client) {
      this.settle(id);
      return;
    }
    const readSubscription = () => this.unassigner.requireEnded(client.subscription.subscriptionId);
    await this.attempt(id, {
      work: () => readSubscription().then(() => this.unassigner.unassign(client)),
      reread: () => readSubscription().then(() => this.unassigner.read(client)),
    });
  }

  private async retrySubscription(id: SubscriptionId): Promise<void> {
    const subscription = await this.clients.subscription(id);
    if (!subscription?.isLeftOver) {
      this.settle(id);
      return;
    }
    if (await this.isEnded(id)) this.toLookUp.add(id);
    this.newWork.notify();
  }

  private retryForgottenIfDue(): void {
    const now = performance.now();
    if (!this.hasForgotten || (this.failedWork.isFull && now - this.forgottenTriedAt < RETRY_FORGOTTEN_EVERY_MS))
      return;
    this.hasForgotten = false;
    this.forgottenTriedAt = now;
    this.lookUpAll();
  }

  /** Whether the subscription's own stream says that the subscription has ended. If not, this counts as a failure. */
  private isEnded(id: SubscriptionId, options?: CallOptions): Promise<boolean> {
    const read = () => this.unassigner.requireEnded(id, options);
    return this.attempt(id, { work: read, reread: read });
  }

  /**
   * Carries out one piece of work. Returns whether it succeeded. If it failed, it goes to the queue of failed work. Throws if
   * the failure concerns the whole log.
   */
  private async attempt(id: string, { work, reread }: Attempt): Promise<boolean> {
    this.signal.throwIfAborted();
    const begunAt = performance.now();
    try {
      await work();
    } catch (error) {
      if (this.signal.aborted) throw error;
      if (!(error instanceof Error) || (await this.unassigner.isOutage(error, begunAt, reread))) throw error;
      this.fail(id, error);
      return false;
    }
    this.settle(id);
    return true;
  }

  private settle(id: string): void {
    const failed = this.failedWork.settle(id);
    if (failed) this.dependencies.observer.done(named(failed));
  }

  private fail(id: string, error: Error): void {
    this.failedAttempts += 1;
    const failed = this.failedWork.failed(id, error);
    this.hasForgotten ||= !failed;
    if (failed?.attempts === 1 && this.failedWork.size <= MAX_REPORTED)
      this.dependencies.observer.failed(named(failed));
    this.newFailure.notify();
  }
}

const named = ({ id, attempts, error }: Failure): FailedWork => ({
  ids: isAssignmentId(id) ? { ...partsOf(id) } : { subscriptionId: id },
  attempts,
  error,
});
