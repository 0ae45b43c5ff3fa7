import type { ClientId, SubscriptionId } from '#domain';
import type { Revision } from '#events';
import type { BuildName, ReadStore, StoredDocument } from '#read-models';
import { type AssignmentDocument, type ModelDocument, partsOf, type SubscriptionDocument } from './assignments.js';

const PAGE = 500;

/** A subscription that has ended. */
export type EndedSubscription = SubscriptionDocument & Required<Pick<SubscriptionDocument, 'end'>>;

/** A client that is still assigned to a subscription that has ended. */
export interface LeftOverClient {
  /** The id of the client's `AssignmentDocument`. */
  readonly id: string;
  readonly clientId: ClientId;
  /** The revision of the assignment's event in the client's stream. */
  readonly revision: Revision;
  readonly subscription: EndedSubscription;
}

/**
 * Finds the clients of ended subscriptions in one build of `assignments`. Reads page by page, so the memory does not
 * depend on the number of clients. All methods throw `ReadStoreUnavailable`.
 */
export class LeftOverClients {
  constructor(
    private readonly store: ReadStore,
    private readonly build: BuildName,
  ) {}

  /**
   * Yields those of the subscriptions that have ended. With `alsoOthers`, then yields every subscription that has ended
   * and still has clients.
   */
  async *ended(ids: readonly SubscriptionId[], alsoOthers: boolean): AsyncGenerator<EndedSubscription> {
    yield* this.endedAmong(ids);
    if (alsoOthers) yield* this.allEnded();
  }

  private async *allEnded(): AsyncGenerator<EndedSubscription> {
    const list = { equals: { isLeftOver: true }, sort: 'subscriptionId' } as const;
    for await (const { doc } of this.list<SubscriptionDocument>(list)) if (hasEnded(doc)) yield doc;
  }

  private async *endedAmong(ids: readonly SubscriptionId[]): AsyncGenerator<EndedSubscription> {
    for (let first = 0; first < ids.length; first += PAGE) {
      const page = await this.store.read<SubscriptionDocument>(this.build, ids.slice(first, first + PAGE));
      for (const { doc } of page) if (hasEnded(doc)) yield doc;
    }
  }

  async subscription(id: SubscriptionId): Promise<SubscriptionDocument | undefined> {
    const [found] = await this.store.read<SubscriptionDocument>(this.build, [id]);
    return found?.doc;
  }

  async *clientsOf(subscription: EndedSubscription): AsyncGenerator<LeftOverClient> {
    const list = { equals: { subscriptionId: subscription.subscriptionId, assigned: true }, sort: 'clientId' } as const;
    for await (const { id, revision, doc } of this.list<AssignmentDocument>(list)) {
      yield { id, clientId: doc.clientId, revision, subscription };
    }
  }

  /** Returns the client with this `AssignmentDocument`; `undefined` if nothing is left to be done for this client. */
  async client(id: string): Promise<LeftOverClient | undefined> {
    const { clientId, subscriptionId } = partsOf(id);
    const found = await this.store.read<ModelDocument>(this.build, [id, subscriptionId]);
    const assignment = found.find((document) => document.id === id) as StoredDocument<AssignmentDocument> | undefined;
    const subscription = found.find((document) => document.id === subscriptionId) as
      StoredDocument<SubscriptionDocument> | undefined;
    if (!assignment?.doc.assigned || !subscription || !hasEnded(subscription.doc)) return undefined;
    return { id, clientId, revision: assignment.revision, subscription: subscription.doc };
  }

  private async *list<Doc>({
    equals,
    sort,
  }: {
    readonly equals: Readonly<Record<string, string | boolean>>;
    readonly sort: keyof Doc & string;
  }): AsyncGenerator<StoredDocument<Doc>> {
    let last: StoredDocument<Doc> | undefined;
    do {
      const after: { after?: { value: string; id: string } } = last
        ? { after: { value: last.doc[sort] as string, id: last.id } }
        : {};
      const query = { equals, sort: { field: sort, direction: 'asc' }, ...after, limit: PAGE } as const;
      const page = await this.store.find<Doc>(this.build, query);
      yield* page;
      last = page.length === PAGE ? page.at(-1) : undefined;
    } while (last);
  }
}

const hasEnded = (document: SubscriptionDocument): document is EndedSubscription => document.end !== undefined;
