import { setTimeout as delay } from 'node:timers/promises';
import {
  type ClientId,
  type ConsumerClientState,
  type EndpointUri,
  type SigningKeysEvent,
  type SigningKeysState,
  type SubscriptionState,
  consumerClient,
  consumerClientStream,
  endpointUri,
  endpointUriStream,
  signingKeys,
  signingKeysStream,
  subscription,
  subscriptionStream,
} from '#domain';
import { type BookOfRecord, LogUnavailable } from '#event-log';
import type { RecordedEvent } from '#events';
import type { DecidingStates } from '#tokens';
import { FollowedStreams } from './followed-streams.js';

/** Learns when the directory loses the log, and when it has found it again. */
export interface DirectoryObserver {
  outageBegan(error: unknown): void;
  outageEnded(): void;
}

export interface ClientDirectoryOptions {
  /** Throws `LogUnavailable` until the event log is there. */
  readonly book: () => BookOfRecord;
  readonly observer: DirectoryObserver;
  /** Milliseconds by which it may be behind the log, and still be believed. */
  readonly maxLagMs: number;
  /** Clients with what they hold, subscriptions, endpoint URIs: so many of each (default 100,000; some 200 MB). */
  readonly maxSize?: number;
}

const MARK_EVERY_MS = 500;
/** Checks were served lately: markers are sent, so that the next check finds the directory current. */
const SERVING_MS = 30_000;
/** A subscription that lets no marker through for so long is begun anew. */
const GIVEN_UP_AFTER_MS = 5_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

/**
 * What the gateway check needs to know, in memory: filled on first use, kept current by a subscription to the log. It
 * says nothing while it is behind by more than `maxLagMs`; silence of the log proves nothing, only markers of this
 * process do that came back through the subscription.
 */
export class ClientDirectory {
  private readonly clients;
  private readonly endpointUris;
  private readonly subscriptions;
  private readonly signingKeys;
  /** Monotonic clock: all that was acknowledged before has been applied. */
  private completeTo = -Infinity;
  private subscribedAt = -Infinity;
  private servedAt = -Infinity;
  private servingSince = -Infinity;
  private session = new AbortController();
  private failures = 0;

  constructor(private readonly options: ClientDirectoryOptions) {
    const { book, maxSize = 100_000 } = options;
    this.clients = new FollowedStreams({
      aggregate: { ...consumerClient, stream: consumerClientStream },
      read: (id) => book().clients.read(id),
      sizeOf: heldBy,
      maxSize,
    });
    this.endpointUris = new FollowedStreams({
      aggregate: { ...endpointUri, stream: endpointUriStream },
      read: (uri) => book().endpointUris.read(uri),
      maxSize,
    });
    this.subscriptions = new FollowedStreams({
      aggregate: { ...subscription, stream: subscriptionStream },
      read: (id) => book().subscriptions.read(id),
      maxSize,
    });
    this.signingKeys = new FollowedStreams<void, SigningKeysState, SigningKeysEvent>({
      aggregate: { ...signingKeys, stream: () => signingKeysStream },
      read: () => book().signingKeys.read(),
      maxSize: 1,
    });
  }

  /** Age, in milliseconds, of the newest marker that came back: nothing older can be missing. */
  lagMs(): number {
    return performance.now() - this.completeTo;
  }

  /** Whether it may be believed now. */
  isCurrent(): boolean {
    return this.lagMs() < this.options.maxLagMs;
  }

  /** What decides about this client's calls of this endpoint; `undefined` where it isn't known, or may be outdated. */
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

  /** Reads what `states` lacks. For verified tokens only: others must not push anything out. Throws `LogUnavailable`. */
  async fill(clientId: ClientId, uri: EndpointUri): Promise<void> {
    const filledSubscription = async () => {
      await this.endpointUris.fill(uri);
      const claim = this.endpointUris.get(uri);
      if (claim?.status === 'CLAIMED') await this.subscriptions.fill(claim.subscriptionId);
    };
    await Promise.all([this.clients.fill(clientId), filledSubscription(), this.signingKeys.fill()]);
  }

  /** Follows the log until the signal aborts. What it can't follow it begins anew, after a growing pause. */
  async run(signal: AbortSignal): Promise<void> {
    const marking = setInterval(() => {
      this.keepMarking();
    }, MARK_EVERY_MS);
    const isOver = () => signal.aborted;
    try {
      while (!isOver()) {
        const broke = await this.follow(signal).catch((error: unknown) => error);
        this.completeTo = -Infinity;
        if (isOver()) return;
        if (this.failures === 0) this.options.observer.outageBegan(broke);
        const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.failures, LONGEST_PAUSE_MS);
        this.failures += 1;
        await delay(pause, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      clearInterval(marking);
    }
  }

  private async follow(signal: AbortSignal): Promise<never> {
    const { log } = this.options.book();
    const after = await log.end();
    // What was filled before the subscription begins may have missed events.
    this.forget();
    this.session = new AbortController();
    this.subscribedAt = performance.now();
    const batches = log.subscribe({
      ...(after !== undefined && { after }),
      signal: AbortSignal.any([signal, this.session.signal]),
      marked: true,
    });
    for await (const { events, completeTo = -Infinity } of batches) {
      for (const event of events) this.apply(event);
      // A marker from before the subscription says nothing of it.
      if (completeTo >= this.subscribedAt) this.came(completeTo);
    }
    throw new LogUnavailable('The subscription of the client directory has ended');
  }

  private came(completeTo: number): void {
    this.completeTo = completeTo;
    if (this.failures > 0) this.options.observer.outageEnded();
    this.failures = 0;
  }

  private apply(event: RecordedEvent): void {
    for (const streams of this.followed()) streams.apply(event);
  }

  private forget(): void {
    for (const streams of this.followed()) streams.clear();
  }

  private followed() {
    return [this.clients, this.endpointUris, this.subscriptions, this.signingKeys] as const;
  }

  /** Markers are sent while checks are served: at the first one at once. */
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
    const lastSign = Math.max(this.completeTo, this.subscribedAt, this.servingSince);
    if (now - lastSign >= GIVEN_UP_AFTER_MS) this.session.abort();
    this.mark();
  }

  /** A marker that can't be sent doesn't come back either: the lag says it. */
  private mark(): void {
    const sent = async () => this.options.book().log.mark();
    sent().catch(() => undefined);
  }
}

/** A claim whose subscription was registered with another URI claims nothing. */
export const subscriptionAt = (uri: EndpointUri, registered: SubscriptionState): SubscriptionState =>
  registered.status !== 'UNREGISTERED' && registered.endpointUri === uri ? registered : { status: 'UNREGISTERED' };

/** A client and what it brings with it, counted. */
const heldBy = (client: ConsumerClientState): number =>
  client.status === 'ACTIVE'
    ? 1 + client.subscriptions.size + client.staticTokens.length + client.revokedTokens.length
    : 1;
