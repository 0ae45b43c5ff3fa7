import type { SubscriptionId } from '#domain';
import { type FollowedEvent, OpenOutages, repeatUntilAborted } from '#event-log';
import type { BuildName, ManagedBuild } from '#read-models';
import { isAssignmentId, partsOf } from './assignments.js';
import { Bell } from './bell.js';
import { forEachConcurrently } from './for-each-concurrently.js';
import { type EndedHolder, type LeftOverClient, LeftOverClients } from './left-over-clients.js';
import type { FailedWork, ProcessManagerDependencies, ProcessManagerStatus } from './process-manager.js';
import { type Failure, PutAside, type PutAsideOptions } from './put-aside.js';
import { Unassigner } from './unassigner.js';

export interface EndedSubscriptionsOptions extends PutAsideOptions {
  /** Number of clients that are unassigned at the same time (default 12). */
  readonly concurrency?: number;
}

const CONCURRENCY = 12;
/** Work that is tried again may fail slowly. So it never takes the places of new work. */
const RETRY_CONCURRENCY = 4;
/** Number of pieces of failed work that are tried again in one round. */
const RETRIES_PER_ROUND = 500;
/** The largest number of subscriptions that wait to be looked up. If there are more, all are looked up. */
const MAX_NEWS = 10_000;
/** While more work than this is put aside, further failures are only counted. Otherwise they would flood the log file. */
const MAX_REPORTED = 100;
/** If the memory for failed work is full, the clients that it does not hold are tried again after this many ms. */
const TRY_REST_EVERY_MS = 600_000;
/** The longest wait of a loop that has nothing to do, in ms. */
const IDLE_MS = 60_000;

interface Attempt {
  readonly work: () => Promise<unknown>;
  /** Reads the streams that `work` needs. */
  readonly reread: () => Promise<unknown>;
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
 * 5. If the command on one client fails, only this client is put aside. It is tried again after growing pauses, and all
 *    others go on. The same holds for a subscription whose stream can't be read.
 * 6. If the whole log or the read store fails, no client's attempts are counted. The round is repeated after a pause.
 */
export class EndedSubscriptions implements ManagedBuild {
  readonly ended: Promise<void>;
  private readonly clients: LeftOverClients;
  private readonly unassigner: Unassigner;
  private readonly aside: PutAside;
  /** Subscriptions that are to be looked up. */
  private news = new Set<SubscriptionId>();
  private looksUpAll = false;
  private isCurrent = false;
  private readonly newWork = new Bell();
  private readonly newFailure = new Bell();
  private failedAttempts = 0;
  /** Whether a client has failed that `aside` does not hold, because `aside` was full. */
  private hasRest = false;
  private restTriedAt = performance.now();
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
    this.aside = new PutAside(options);
    this.outages = new OpenOutages(dependencies.observer);
    const loops = [this.repeat(() => this.unassignRound()), this.repeat(() => this.retryRound())];
    this.ended = Promise.all(loops).then(() => undefined);
  }

  written(events: readonly FollowedEvent[]): void {
    if (!this.isCurrent) return;
    for (const { type, data } of events) {
      if (type === 'SubscriptionEnded' || type === 'ConsumerClientAssignedToSubscription') {
        this.news.add(data.subscriptionId);
      }
    }
    if (this.news.size > MAX_NEWS) this.lookUpAll();
    if (this.news.size > 0) this.newWork.ring();
  }

  caughtUp(): void {
    this.isCurrent = true;
    this.lookUpAll();
  }

  status(): ProcessManagerStatus {
    const { aside, failedAttempts } = this;
    const { error: outage } = this.outages;
    return { failing: aside.size, failedAttempts, lasting: aside.lasting().map(named), ...(outage && { outage }) };
  }

  private lookUpAll(): void {
    this.looksUpAll = true;
    this.news.clear();
    this.newWork.ring();
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
    if (this.news.size === 0 && !this.looksUpAll) await this.newWork.wait(IDLE_MS, this.signal);
    if (this.signal.aborted) return;
    const { news, looksUpAll } = this;
    this.news = new Set();
    this.looksUpAll = false;
    try {
      const holders = looksUpAll ? this.clients.holders() : this.clients.holdersOf([...news]);
      await forEachConcurrently(this.newWorkOf(holders), this.options.concurrency ?? CONCURRENCY, async (client) => {
        await this.attempt(client.id, {
          work: () => this.unassigner.unassign(client),
          reread: () => this.unassigner.read(client),
        });
      });
    } catch (error) {
      for (const id of news) this.news.add(id);
      this.looksUpAll ||= looksUpAll;
      throw error;
    }
  }

  private async *newWorkOf(holders: AsyncIterable<EndedHolder>): AsyncGenerator<LeftOverClient> {
    for await (const holder of holders) {
      const { subscriptionId } = holder;
      if (this.aside.has(subscriptionId) || !(await this.isEnded(subscriptionId))) continue;
      for await (const client of this.clients.clientsOf(holder)) if (!this.aside.has(client.id)) yield client;
    }
  }

  private async retryRound(): Promise<void> {
    await this.newFailure.wait(Math.min(this.aside.msUntilDue ?? IDLE_MS, IDLE_MS), this.signal);
    if (this.signal.aborted) return;
    await forEachConcurrently(this.aside.due(RETRIES_PER_ROUND), RETRY_CONCURRENCY, (id) =>
      isAssignmentId(id) ? this.retryClient(id) : this.retrySubscription(id),
    );
    this.tryRestIfDue();
  }

  private async retryClient(id: string): Promise<void> {
    const client = await this.clients.client(id);
    if (!client) {
      this.settle(id);
      return;
    }
    const readSubscription = () => this.unassigner.requireEnded(client.holder.subscriptionId);
    await this.attempt(id, {
      work: () => readSubscription().then(() => this.unassigner.unassign(client)),
      reread: () => readSubscription().then(() => this.unassigner.read(client)),
    });
  }

  private async retrySubscription(id: SubscriptionId): Promise<void> {
    const holder = await this.clients.holder(id);
    if (!holder?.isLeftOver) {
      this.settle(id);
      return;
    }
    if (await this.isEnded(id)) this.news.add(id);
    this.newWork.ring();
  }

  private tryRestIfDue(): void {
    const now = performance.now();
    if (!this.hasRest || (this.aside.isFull && now - this.restTriedAt < TRY_REST_EVERY_MS)) return;
    this.hasRest = false;
    this.restTriedAt = now;
    this.lookUpAll();
  }

  /** Whether the subscription's own stream says that the subscription has ended. If not, it is put aside. */
  private isEnded(id: SubscriptionId): Promise<boolean> {
    const read = () => this.unassigner.requireEnded(id);
    return this.attempt(id, { work: read, reread: read });
  }

  /**
   * Carries out one piece of work. Returns whether it succeeded. If it failed, it is put aside. Throws if the failure
   * concerns the whole log.
   */
  private async attempt(id: string, { work, reread }: Attempt): Promise<boolean> {
    this.signal.throwIfAborted();
    const begunAt = performance.now();
    try {
      await work();
    } catch (error) {
      if (this.signal.aborted) throw error;
      if (!(error instanceof Error) || (await this.unassigner.isOutage(error, begunAt, reread))) throw error;
      this.putAside(id, error);
      return false;
    }
    this.settle(id);
    return true;
  }

  private settle(id: string): void {
    const failed = this.aside.settle(id);
    if (failed) this.dependencies.observer.done(named(failed));
  }

  private putAside(id: string, error: Error): void {
    this.failedAttempts += 1;
    const failed = this.aside.failed(id, error);
    this.hasRest ||= !failed;
    if (failed?.attempts === 1 && this.aside.size <= MAX_REPORTED) this.dependencies.observer.putAside(named(failed));
    this.newFailure.ring();
  }
}

const named = ({ id, attempts, error }: Failure): FailedWork => ({
  ids: isAssignmentId(id) ? { ...partsOf(id) } : { subscriptionId: id },
  attempts,
  error,
});
