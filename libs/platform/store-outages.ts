import type { Logger } from 'pino';

/** Returns which store an error says is away, e.g. `event log`; `undefined` for any other error. */
export const storeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'store' in error && typeof error.store === 'string' ? error.store : undefined;

const QUIET_MS = 3_000;

interface Outage {
  readonly since: number;
  /** When a part of the process was last failed by the store. */
  failedAt: number;
  /** The reasons that were logged. */
  readonly reasons: Set<string>;
}

/** The parts of a process that use a store call this when the store fails them. */
export type OutageNotes = Pick<StoreOutages, 'failed'>;

/**
 * The outages of the stores of one process. Many parts of a process notice an outage, and each tells this class, which
 * logs one warning when the outage begins and one line when it is over:
 *
 * 1. An outage begins with the first failure that any part meets.
 * 2. An outage ends when the store's own readiness check passes that was begun three seconds after the last failure,
 *    or later. The other parts find out at times of their own that a store is back, so they have no say in this. These
 *    seconds keep a store that stops or starts slowly, and answers some calls meanwhile, from being several outages.
 * 3. A store that is being opened for the first time is not away. Only its opener can begin an outage then.
 *
 * All times are those of `performance.now()`.
 */
export class StoreOutages {
  private readonly open = new Map<string, Outage>();
  private readonly opening = new Set<string>();
  /** When the latest check of each store was begun that has passed. */
  private readonly passedSince = new Map<string, number>();

  constructor(
    private readonly logger: Logger,
    /** For this many ms, a store must have failed no call before an outage is over. */
    readonly quietMs = QUIET_MS,
  ) {}

  /** Notes that the process has begun to open a store. */
  beginsToOpen(store: string): void {
    this.opening.add(store);
  }

  /**
   * Notes that the store was opened for the first time. The outage of one that could not be opened before goes on until
   * the store's own check passes (2.): a store that has just started may fail some calls.
   */
  opened(store: string): void {
    this.opening.delete(store);
    this.passedSince.set(store, performance.now());
  }

  /** Notes that a store could not be opened. */
  failedToOpen(error: Error): void {
    const store = storeOf(error);
    if (store !== undefined) this.note(store, error, performance.now());
  }

  /**
   * Notes that a store has failed a call, and returns `true`. Returns `false` if the error is not about a store that is
   * away: the caller has to log it. `begunAt`: when the call was begun. A call that was begun before a check that has
   * passed tells nothing new.
   */
  failed(error: Error, begunAt = performance.now()): boolean {
    const store = storeOf(error);
    if (store === undefined) return false;
    if (!this.opening.has(store)) this.note(store, error, begunAt);
    return true;
  }

  /** Notes that the store's own check has passed, which was begun at `begunAt`. */
  passed(store: string, begunAt: number): void {
    this.passedSince.set(store, begunAt);
    const outage = this.open.get(store);
    if (outage && begunAt >= outage.failedAt + this.quietMs) this.end(store);
  }

  /** Whether the store is away; without a name, whether any store is. */
  isAway(store?: string): boolean {
    return store === undefined ? this.open.size > 0 : this.open.has(store);
  }

  isOpening(store: string): boolean {
    return this.opening.has(store) && !this.open.has(store);
  }

  private end(store: string): void {
    const outage = this.open.get(store);
    if (!outage) return;
    this.open.delete(store);
    const seconds = Math.round((performance.now() - outage.since) / 100) / 10;
    this.logger.info({ store, seconds }, `the ${store} can be used again`);
  }

  private note(store: string, err: Error, begunAt: number): void {
    if (begunAt < (this.passedSince.get(store) ?? 0)) return;
    const failedAt = performance.now();
    const outage = this.open.get(store) ?? { since: failedAt, failedAt, reasons: new Set() };
    outage.failedAt = failedAt;
    this.open.set(store, outage);
    const isNews = outage.reasons.size === 0 || (needsOperator(err) && !outage.reasons.has(err.message));
    if (!isNews) return;
    outage.reasons.add(err.message);
    this.logger.warn({ store, err }, `the ${store} can’t be used`);
  }
}

const needsOperator = (error: Error): boolean => 'needsOperator' in error && error.needsOperator === true;

/** Is told of each outage of something that a loop needs, once when it begins and once when it is over. */
interface LoopObserver {
  outageBegan(error: Error): void;
  outageEnded(): void;
}

/** Returns an observer that tells `outages` of stores that are away, and `others` of all other outages. */
export function observerOfStores(outages: OutageNotes, others: LoopObserver): LoopObserver {
  let isOther = false;
  return {
    outageBegan: (error) => {
      isOther = !outages.failed(error);
      if (isOther) others.outageBegan(error);
    },
    outageEnded: () => {
      if (isOther) others.outageEnded();
      isOther = false;
    },
  };
}
