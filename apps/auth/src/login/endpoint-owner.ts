import { type EndpointUri, isEndpointUri, type SubscriptionId, type SubscriptionState } from '#domain';
import type { BookOfRecord } from '#event-log';

/** The subscription that an endpoint URI's claim names. Whether it is registered with this URI is not yet checked. */
export interface EndpointOwner {
  readonly subscriptionId: SubscriptionId;
  readonly subscription: SubscriptionState;
}

type Streams = Pick<BookOfRecord, 'endpointUris' | 'subscriptions'>;

/**
 * Finds out who owns an endpoint URI, by strong reads (reads that return every event acknowledged before) of the URI's
 * claim and of the subscription that it names. Returns `undefined` if nobody has claimed the URI. A claim rarely changes,
 * so the subscription of the remembered claim is read together with the claim. If the claim names another subscription,
 * that one is read afterwards. A quarantined stream counts as one without events. Throws `LogUnavailable`.
 */
export async function endpointOwner(
  { endpointUris, subscriptions }: Streams,
  uri: EndpointUri,
): Promise<EndpointOwner | undefined> {
  const remembered = endpointUris.remembered(uri);
  const expected = remembered?.status === 'CLAIMED' ? remembered.subscriptionId : undefined;
  const reading = expected === undefined ? undefined : subscriptions.readUsable(expected);
  // If the claim names another subscription, the result does not matter.
  reading?.catch(() => undefined);
  const { state: claim } = await endpointUris.readUsable(uri);
  if (claim.status === 'FREE') return undefined;
  const { subscriptionId } = claim;
  const isExpected = reading !== undefined && subscriptionId === expected;
  const { state: subscription } = await (isExpected ? reading : subscriptions.readUsable(subscriptionId));
  return { subscriptionId, subscription };
}

/** The endpoint that a login names. Its owner is read once, however often it is asked for. */
export class RequestedEndpoint {
  private reading: Promise<EndpointOwner | undefined> | undefined;

  /** `uri` comes from the request and is untrusted. */
  constructor(
    private readonly book: Streams,
    readonly uri: string,
  ) {}

  /** Begins to read the owner. An error is thrown by `owner` only. */
  begin(): void {
    this.owner().catch(() => undefined);
  }

  /**
   * See `endpointOwner`. Also resolves to `undefined` if `uri` is no endpoint URI: only a valid endpoint URI may become
   * part of a stream name.
   */
  owner(): Promise<EndpointOwner | undefined> {
    const { book, uri } = this;
    return (this.reading ??= isEndpointUri(uri) ? endpointOwner(book, uri) : Promise.resolve(undefined));
  }
}
