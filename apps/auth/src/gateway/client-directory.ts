import {
  type ClientId,
  consumerClient,
  type ConsumerClientState,
  type EndpointUri,
  endpointUri,
  signingKeys,
  type SigningKeysState,
  subscription,
  type SubscriptionState,
} from '#domain';
import {
  type BookOfRecord,
  LogUnavailable,
  LONG_AGO,
  type Moment,
  msSince,
  type OutageObserver,
  QUARANTINES_STREAM,
  repeatUntilAborted,
} from '#event-log';
import type { RecordedEvent } from '#events';
import type { DecidingStates } from '#tokens';
import { FollowedStreams } from './followed-streams.js';

export interface ClientDirectoryOptions {
  /** Throws `LogUnavailable` until the event log is open. */
  readonly book: () => BookOfRecord;
  /**
   * The observer is told when an outage of the log begins and ends. An outage ends when a marker (an event that
   * measures the lag) comes back.
   */
  readonly observer: OutageObserver;
  /** The directory's states are used only while the directory is less than this many ms behind the log. */
  readonly maxLagMs: number;
  /**
   * Maximum number of entries of each kind (default 100,000, about 200 MB). The kinds are subscriptions, endpoint URIs
   * and clients. Each assignment, static token and revoked token of a client counts as a further entry.
   */
  readonly maxSize?: number;
}

const MARK_EVERY_MS = 500;
/**
 * Markers (events that measure the lag) are still sent for this many ms after the last check. A check within this time
 * thus finds the directory current.
 */
const SERVING_MS = 30_000;
/**
 * If a subscription to the log delivers no marker (an event that measures the lag) for this many ms, the subscription
 * is replaced.
 */
const GIVE_UP_AFTER_MS = 5_000;

/**
 * Keeps in memory the states that a gateway check needs.
 *
 * 1. A stream's state is read when a check needs the state for the first time. A subscription to the log then keeps the
 *    state current.
 * 2. While checks arrive, this process writes a marker (an event that measures the lag) to the log every half second.
 *    When a marker comes back through the subscription, everything that was acknowledged before the marker was sent has
 *    been applied. A subscription that delivers nothing proves nothing, because the connection may be cut.
 * 3. The directory returns states only while the newest marker that came back is younger than `maxLagMs`. Otherwise the
 *    directory returns `undefined`, and the caller reads the log.
 * 4. When a stream is quarantined, or a quarantine is lifted, the directory forgets the state of this stream. A
 *    quarantined stream is then filled in as a stream without events.
 * 5. If the subscription fails, or no marker comes back for five seconds, events may have been missed. The directory
 *    then forgets all states and subscribes again.
 */
export class ClientDirectory {
  private readonly clients;
  private readonly endpointUris;
  private readonly subscriptions;
  private readonly signingKeys;
  /** Everything that the log acknowledged before this moment has been applied. */
  private completeTo: Moment = LONG_AGO;
  /** In ms of the monotonic clock, like the times below. */
  private subscribedAt = -Infinity;
  private servedAt = -Infinity;
  private servingSince = -Infinity;
  private session = new AbortController();

  constructor(private readonly options: ClientDirectoryOptions) {
    const { book, maxSize = 100_000 } = options;
    this.clients = new FollowedStreams({
      aggregate: consumerClient,
      read: (id) => book().clients.readUsable(id),
      sizeOf,
      maxSize,
    });
    this.endpointUris = new FollowedStreams({
      aggregate: endpointUri,
      read: (uri) => book().endpointUris.readUsable(uri),
      maxSize,
    });
    this.subscriptions = new FollowedStreams({
      aggregate: subscription,
      read: (id) => book().subscriptions.readUsable(id),
      maxSize,
    });
    this.signingKeys = new FollowedStreams({
      aggregate: signingKeys,
      read: () => book().signingKeys.read(),
      maxSize: 1,
    });
  }

  /**
   * The age, in ms, of the newest marker (a signal that this process sends through the log to measure the lag) that this
   * process has received. The directory is never further behind the log than this.
   */
  lagMs(): number {
    return msSince(this.completeTo);
  }

  /** Whether the lag is so small that the directory's states may be used now. */
  isCurrent(): boolean {
    return this.lagMs() < this.options.maxLagMs;
  }

  /**
   * The states that decide whether this client may call this endpoint. Returns `undefined` if a state is missing or may
   * be outdated.
   */
  states(clientId: ClientId, uri: EndpointUri): DecidingStates | undefined {
    this.keepServing();
    if (!this.isCurrent()) return undefined;
    const client = this.clients.get(clientId);
    const claim = this.endpointUris.get(uri);
    const keys = this.signingKeys.get();
    if (!client || !claim || !keys) return undefined;
    if (claim.status === 'FREE') return { client, subscription: { status: 'UNREGISTERED' }, keys };
    const registered = this.subscriptions.get(claim.subscriptionId);
    return registered && { client, subscription: subscriptionAt(uri, registered), keys };
  }

  /** The state of the signing keys. Returns `undefined` if it has not been read yet, or may be outdated. */
  keys(): SigningKeysState | undefined {
    return this.isCurrent() ? this.signingKeys.get() : undefined;
  }

  /**
   * Reads the states that `states` did not find. MUST be called only for a token that was verified. Otherwise callers
   * could fill the directory with made-up ids, and the states of real clients would be forgotten. Throws
   * `LogUnavailable`.
   */
  async fill(clientId: ClientId, uri: EndpointUri): Promise<void> {
    const filledSubscription = async () => {
      await this.endpointUris.fill(uri);
      const claim = this.endpointUris.get(uri);
      if (claim?.status === 'CLAIMED') await this.subscriptions.fill(claim.subscriptionId);
    };
    await Promise.all([this.clients.fill(clientId), filledSubscription(), this.signingKeys.fill()]);
  }

  /**
   * Follows the log until the signal aborts. After a failure, the directory forgets all states and subscribes again.
   */
  async run(signal: AbortSignal): Promise<void> {
    const marking = setInterval(() => {
      this.keepMarking();
    }, MARK_EVERY_MS);
    const follow = (recovered: () => void) =>
      this.follow(signal, recovered).finally(() => {
        this.completeTo = LONG_AGO;
      });
    try {
      const isOutage = (error: unknown) => error instanceof Error;
      await repeatUntilAborted(signal, this.options.observer, follow, { isOutage });
    } finally {
      clearInterval(marking);
    }
  }

  private async follow(signal: AbortSignal, recovered: () => void): Promise<never> {
    const { log } = this.options.book();
    const after = await log.end();
    // The cached states are older than the new subscription, and may lack the events in between. So they are forgotten.
    this.forget();
    this.session = new AbortController();
    this.subscribedAt = performance.now();
    const batches = log.subscribe({
      ...(after !== undefined && { after }),
      signal: AbortSignal.any([signal, this.session.signal]),
      marked: true,
    });
    for await (const { events, completeTo = LONG_AGO } of batches) {
      for (const event of events) this.apply(event);
      // We skip a marker that was sent before the subscription began: only a later marker shows that this subscription
      // works.
      if (completeTo.monotonic < this.subscribedAt) continue;
      this.completeTo = completeTo;
      recovered();
    }
    throw new LogUnavailable('The subscription of the client directory has ended');
  }

  private apply(event: RecordedEvent): void {
    if (event.stream === QUARANTINES_STREAM) this.forgetStream(event);
    for (const streams of this.followed()) streams.apply(event);
  }

  /** Forgets the state of the stream that an event of `quarantines` is about; all states, if the event names none. */
  private forgetStream({ data }: RecordedEvent): void {
    if (typeof data.stream !== 'string') {
      this.forget();
      return;
    }
    this.options.book().quarantines.expire();
    for (const streams of this.followed()) streams.forget(data.stream);
  }

  /** Forgets all states. States that are read from now on know of every quarantine that has arrived. */
  private forget(): void {
    this.options.book().quarantines.expire();
    for (const streams of this.followed()) streams.clear();
  }

  private followed() {
    return [this.clients, this.endpointUris, this.subscriptions, this.signingKeys] as const;
  }

  /** Notes the time of a check. The first check after a pause of 30 s also sends a marker at once. */
  private keepServing(): void {
    const now = performance.now();
    if (now - this.servedAt >= SERVING_MS) {
      this.servingSince = now;
      this.mark();
    }
    this.servedAt = now;
  }

  private keepMarking(): void {
    const now = performance.now();
    if (now - this.servedAt >= SERVING_MS) return;
    const lastSign = Math.max(this.completeTo.monotonic, this.subscribedAt, this.servingSince);
    if (now - lastSign >= GIVE_UP_AFTER_MS) this.session.abort();
    this.mark();
  }

  /**
   * Sends a marker. A failure needs no handling: without new markers the lag grows, and checks read the log instead.
   */
  private mark(): void {
    const sent = async () => this.options.book().log.mark();
    sent().catch(() => undefined);
  }
}

/**
 * Returns the subscription if its registration names this endpoint URI. Otherwise returns `UNREGISTERED`: a
 * subscription that claimed the URI but was never registered with the URI does not count.
 */
export const subscriptionAt = (uri: EndpointUri, registered: SubscriptionState): SubscriptionState =>
  registered.status !== 'UNREGISTERED' && registered.endpointUri === uri ? registered : { status: 'UNREGISTERED' };

/** How many of the `maxSize` entries one client takes up. */
const sizeOf = (client: ConsumerClientState): number =>
  client.status === 'ACTIVE'
    ? 1 + client.subscriptions.size + client.tokens.periods.length + client.tokens.revoked.length
    : 1;
