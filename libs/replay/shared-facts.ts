import { LRUCache } from 'lru-cache';
import { compromisedKids, subscription, type SubscriptionId, type SubscriptionState } from '#domain';
import { type Basis, type BookOfRecord, type QuarantinesInForce, readQuarantinesAsOf } from '#event-log';
import { type Readable, unlessDamaged } from './damage.js';

/** Number of subscriptions that are remembered at once. */
const MAX_SUBSCRIPTIONS = 10_000;

type Book = Pick<BookOfRecord, 'log' | 'subscriptions' | 'signingKeys'>;

/** The facts as of one past on which the logins of many clients depend. Each is read once, when it is first needed. */
export class SharedFacts {
  /** `maxSize` bounds this cache. With `max`, `LRUCache` would allocate its tables in full for each single client. */
  private readonly subscriptionStates = new LRUCache<SubscriptionId, Promise<Readable<SubscriptionState>>>({
    maxSize: MAX_SUBSCRIPTIONS,
    sizeCalculation: () => 1,
  });
  private quarantinesInForce: Promise<QuarantinesInForce> | undefined;
  private refusedKids: Promise<readonly string[]> | undefined;

  constructor(
    private readonly book: Book,
    private readonly basis: Basis,
  ) {}

  /** Throws `LogUnavailable`, `HistoryMissing`. */
  quarantines(): Promise<QuarantinesInForce> {
    return (this.quarantinesInForce ??= readQuarantinesAsOf(this.book.log, this.basis));
  }

  /** The signing keys whose tokens were refused. Throws `LogUnavailable`, `HistoryMissing`. */
  compromisedKids(): Promise<readonly string[]> {
    return (this.refusedKids ??= this.book.signingKeys
      .asOf(undefined, this.basis)
      .then(({ state }) => compromisedKids(state)));
  }

  /** Throws `LogUnavailable`. */
  subscription(id: SubscriptionId): Promise<Readable<SubscriptionState>> {
    const known = this.subscriptionStates.get(id);
    if (known) return known;
    const read = async () => (await this.book.subscriptions.asOf(id, this.basis)).state;
    const reading = unlessDamaged(this.book, subscription.stream(id), read);
    this.subscriptionStates.set(id, reading);
    return reading;
  }
}
