import { repeatUntilAborted, StoreUnavailable } from '#event-log';
import { type ProcessDependency, type Registry, Starting, type StoreOutages } from '#platform/without-http';

export interface PendingStoreOptions<Store> {
  /** The store's name in readiness checks and log lines. */
  readonly name: string;
  /** Opens the store. If this function throws `StoreUnavailable`, it is called again later. */
  readonly open: () => Promise<Store>;
  readonly check: (store: Store) => Promise<void>;
  readonly close: (store: Store) => Promise<void>;
  /** Adds the store's metrics. `current` returns the store, or `undefined` until the store is open. */
  readonly addMetrics?: (registry: Registry, current: () => Store | undefined) => void;
  /** Returns the error that callers get until the store is open. */
  readonly unavailable: () => Error;
  readonly outages: StoreOutages;
}

/**
 * A store that is opened in the background. If the store can't be reached, opening is tried again after pauses that
 * grow longer. Once the store is open, the store's adapter reconnects by itself.
 */
export class PendingStore<Store> implements ProcessDependency {
  readonly name: string;
  readonly isStore = true;
  /**
   * Resolves with the open store. Rejects with an error that waiting can't cure. Never settles if `close` is called
   * before the store is open.
   */
  readonly opened: Promise<Store>;
  private store: Store | undefined;
  /** Why the latest attempt to open the store failed. */
  private failure: Error | undefined;
  /** The latest attempt to open the store. This promise never rejects. */
  private attempt: Promise<unknown> = Promise.resolve();
  private readonly waiting = new AbortController();

  constructor(private readonly options: PendingStoreOptions<Store>) {
    this.name = options.name;
    options.outages.beginsToOpen(this.name);
    this.opened = this.open();
    // The code that awaits `opened` gets the error. Without a handler here, Node could end the process before that code
    // awaits `opened`.
    this.opened.catch(() => undefined);
  }

  /** Returns the open store. Throws `unavailable()` until the store is open. */
  get current(): Store {
    if (this.store === undefined) throw this.options.unavailable();
    return this.store;
  }

  /** Throws what is wrong with the store. Until the store is open, throws why it could not be opened. */
  async check(): Promise<void> {
    if (this.store === undefined) throw this.failure ?? new Starting(`The ${this.name} is being opened`);
    await this.options.check(this.store);
  }

  addMetrics(registry: Registry): void {
    this.options.addMetrics?.(registry, () => this.store);
  }

  /** Resolves when the store is closed. Waits for a running attempt to open the store. */
  async close(): Promise<void> {
    this.waiting.abort();
    await this.attempt;
    if (this.store !== undefined) await this.options.close(this.store);
  }

  private async open(): Promise<Store> {
    const { name, open, close, outages } = this.options;
    const { signal } = this.waiting;
    const observer = { outageBegan: () => undefined, outageEnded: () => undefined };
    const attempt = async (recovered: () => void) => {
      const store = await open().catch((error: unknown) => {
        this.noteFailure(error);
        throw error;
      });
      if (signal.aborted) return close(store);
      this.store = store;
      outages.opened(name);
      recovered();
      this.waiting.abort();
    };
    await repeatUntilAborted(signal, observer, (recovered) => {
      const attempted = attempt(recovered);
      this.attempt = Promise.allSettled([attempted]);
      return attempted;
    });
    return this.store ?? new Promise<never>(() => undefined);
  }

  private noteFailure(error: unknown): void {
    if (!(error instanceof StoreUnavailable) || this.waiting.signal.aborted) return;
    this.failure = error;
    this.options.outages.failedToOpen(error);
  }
}
