import {
  type ClientId,
  type Instant,
  isClientId,
  type SubscriptionId,
  type SubscriptionState,
  type WorkspaceId,
} from '#domain';
import type { UsageEntry, UsageOutcome, UsageRecorded } from '#events';

/** Maximum size of an event without its entries, in bytes. */
const ENVELOPE_BYTES = 4_096;
/**
 * Maximum size of an entry as JSON without its ids, in bytes. The size of an entry is estimated, because a minute's
 * usage may have 100,000 entries.
 */
const ENTRY_BYTES = 224;
/** Half of the largest permitted append, in bytes. */
export const MAX_USAGE_EVENT_BYTES = 524_288;
/**
 * Above this number of counters, further combinations are counted by client and outcome only. Then at most seven
 * counters per client are added, whatever somebody tries with the client's credentials.
 */
export const MAX_COUNTERS = 100_000;
/** Number of claimed ids that are kept. Attempts that claim further ids count as attempts of unknown clients. */
export const MAX_CLAIMED_IDS = 256;

/** The entries and the counter of unknown clients of one event. */
export type UsagePart = Omit<UsageRecorded['data'], 'process'>;

/** Counts attempts that have the same client, subscription, generation and outcome. */
interface Counter {
  readonly generation: number | null | undefined;
  readonly outcome: UsageOutcome;
  count: number;
  first: Instant;
  last: Instant;
}

/** The counters of one client, by subscription. Each list has one counter per generation and outcome. */
type ClientCounters = Map<SubscriptionId | null | undefined, Counter[]>;

/**
 * Counts in memory the attempts that are not yet part of an event. Attempts with made-up secrets are kept apart, by the
 * id that they claim, because nobody has looked yet whether such a client exists.
 */
export class UnrecordedUsage {
  private readonly clients = new Map<ClientId, ClientCounters>();
  private readonly claims = new Map<ClientId, Counter[]>();
  private counters = 0;
  private unknownClients = 0;

  constructor(private readonly maxCounters = MAX_COUNTERS) {}

  get isFull(): boolean {
    return this.counters >= this.maxCounters;
  }

  /**
   * Counts an attempt of an existing client. This is called for every call that a gateway asks about, so it allocates
   * nothing if the combination was seen before. `undefined` means that something is not known; see `UsageEntry`.
   */
  count(
    client: ClientId,
    generation: number | null | undefined,
    subscription: SubscriptionId | null | undefined,
    outcome: UsageOutcome,
    at: Instant,
  ): void {
    const counter = counterOf(this.clients.get(client)?.get(subscription), generation, outcome);
    if (counter) add(counter, 1, at, at);
    else if (!this.isFull) this.start(client, subscription, { generation, outcome, count: 1, first: at, last: at });
    else this.addUp(client, undefined, { generation: undefined, outcome, count: 1, first: at, last: at });
  }

  /** Counts a refused attempt with a secret that was never minted for a client with this id, if it is an id at all. */
  countClaimed(claimed: string, outcome: UsageOutcome, at: Instant): void {
    const counters = isClientId(claimed) ? this.claimsOf(claimed) : undefined;
    const counter = counterOf(counters, undefined, outcome);
    if (counter) add(counter, 1, at, at);
    else if (counters) counters.push({ generation: undefined, outcome, count: 1, first: at, last: at });
    else this.countUnknown();
  }

  countUnknown(attempts = 1): void {
    this.unknownClients += attempts;
  }

  /** The ids that attempts with made-up secrets claim. */
  claimedIds(): ClientId[] {
    return [...this.claims.keys()];
  }

  /** Counts the attempts that claim this id, after somebody looked whether the client exists. */
  settleClaims(client: ClientId, exists: boolean): void {
    for (const claim of this.claims.get(client) ?? []) {
      if (exists) this.addUp(client, null, { ...claim, generation: null });
      else this.countUnknown(claim.count);
    }
    this.claims.delete(client);
  }

  /**
   * Removes and returns all counted attempts. They are split into parts that each fit into an event of
   * `MAX_USAGE_EVENT_BYTES`.
   */
  take(): UsagePart[] {
    const parts: { entries: UsageEntry[]; unknownClients: number }[] = [];
    let bytes = Infinity;
    for (const entry of this.entries()) {
      const added = ENTRY_BYTES + entry.client.length + (entry.subscription?.length ?? 0);
      if (bytes + added > MAX_USAGE_EVENT_BYTES) {
        parts.push({ entries: [], unknownClients: 0 });
        bytes = ENVELOPE_BYTES;
      }
      parts.at(-1)?.entries.push(entry);
      bytes += added;
    }
    const { unknownClients } = this;
    const [first = { entries: [] }, ...others] = parts;
    const all = parts.length > 0 || unknownClients > 0 ? [{ ...first, unknownClients }, ...others] : [];
    this.clients.clear();
    this.counters = 0;
    this.unknownClients = 0;
    return all;
  }

  private *entries(): Iterable<UsageEntry> {
    for (const [client, bySubscription] of this.clients) {
      for (const [subscription, counters] of bySubscription) {
        for (const { generation, ...counted } of counters) {
          yield {
            client,
            ...(generation !== undefined && { generation }),
            ...(subscription !== undefined && { subscription }),
            ...counted,
          };
        }
      }
    }
  }

  private addUp(client: ClientId, subscription: null | undefined, counted: Counter): void {
    const counter = counterOf(this.clients.get(client)?.get(subscription), counted.generation, counted.outcome);
    if (counter) add(counter, counted.count, counted.first, counted.last);
    else this.start(client, subscription, counted);
  }

  private start(client: ClientId, subscription: SubscriptionId | null | undefined, counter: Counter): void {
    const bySubscription = this.clients.get(client) ?? (new Map() as ClientCounters);
    this.clients.set(client, bySubscription);
    const counters = bySubscription.get(subscription);
    if (counters) counters.push(counter);
    else bySubscription.set(subscription, [counter]);
    this.counters += 1;
  }

  private claimsOf(client: ClientId): Counter[] | undefined {
    const known = this.claims.get(client);
    if (known) return known;
    if (this.claims.size >= MAX_CLAIMED_IDS) return undefined;
    const counters: Counter[] = [];
    this.claims.set(client, counters);
    return counters;
  }
}

const counterOf = (
  counters: readonly Counter[] | undefined,
  generation: number | null | undefined,
  outcome: UsageOutcome,
): Counter | undefined => {
  if (!counters) return undefined;
  for (const counter of counters) {
    if (counter.outcome === outcome && counter.generation === generation) return counter;
  }
  return undefined;
};

const add = (counter: Counter, count: number, first: Instant, last: Instant): void => {
  counter.count += count;
  if (first < counter.first) counter.first = first;
  if (counter.last < last) counter.last = last;
};

/**
 * The subscription that an attempt of the client is counted for; `null` if there is none. A client's usage never names
 * a subscription of another workspace.
 */
export const ownSubscription = (
  { workspaceId }: { readonly workspaceId: WorkspaceId },
  subscription: SubscriptionState | undefined,
): SubscriptionId | null =>
  subscription && subscription.status !== 'UNREGISTERED' && subscription.workspaceId === workspaceId
    ? subscription.subscriptionId
    : null;
