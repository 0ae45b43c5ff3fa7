import type { Logger, ProcessDependency } from '#platform';
import { untilAborted } from '#read-models';

export interface LateStoreOptions<Store> {
  /** As readiness and the log name it. */
  readonly name: string;
  /** Tried again while it throws `LogUnavailable` or `ReadStoreUnavailable`. */
  readonly open: () => Promise<Store>;
  readonly check: (store: Store) => Promise<void>;
  readonly close: (store: Store) => Promise<void>;
  /** What its users are told until it is open. */
  readonly unavailable: () => Error;
  readonly logger: Logger;
}

/**
 * A store that is opened in the background: where it comes late it is waited for with growing pauses, and that is logged
 * once. Once it is open its adapter reconnects by itself.
 */
export class LateStore<Store> implements ProcessDependency {
  readonly name: string;
  /** Rejects with what no waiting helps against; never settles where it was closed before the store came. */
  readonly opened: Promise<Store>;
  private store: Store | undefined;
  /** The last one to open it; settled when it has ended. */
  private attempt: Promise<unknown> = Promise.resolve();
  private readonly waiting = new AbortController();

  constructor(private readonly options: LateStoreOptions<Store>) {
    this.name = options.name;
    this.opened = this.open();
    // Whoever awaits it learns why; that nobody does so yet is no crash.
    this.opened.catch(() => undefined);
  }

  /** Throws the store's own unavailability until it is open. */
  get current(): Store {
    if (this.store === undefined) throw this.options.unavailable();
    return this.store;
  }

  async check(): Promise<void> {
    await this.options.check(this.current);
  }

  /** Resolves when nothing of it is left, also of an attempt to open it that was under way. */
  async close(): Promise<void> {
    this.waiting.abort();
    await this.attempt;
    if (this.store !== undefined) await this.options.close(this.store);
  }

  private async open(): Promise<Store> {
    const { name, open, close, logger } = this.options;
    const { signal } = this.waiting;
    const observer = {
      outageBegan: (err: Error) => {
        logger.warn({ err }, `waiting for the ${name}`);
      },
      outageEnded: () => {
        logger.info(`the ${name} is there`);
      },
    };
    const attempt = async (recovered: () => void) => {
      const store = await open();
      if (signal.aborted) return close(store);
      this.store = store;
      recovered();
      this.waiting.abort();
    };
    await untilAborted(signal, observer, (recovered) => {
      const attempted = attempt(recovered);
      this.attempt = Promise.allSettled([attempted]);
      return attempted;
    });
    return this.store ?? new Promise<never>(() => undefined);
  }
}
