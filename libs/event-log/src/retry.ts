import { setTimeout as delay } from 'node:timers/promises';
import { StoreUnavailable } from './errors.js';

/**
 * An observer is told of each outage of the event log or of another store: once when the outage begins, and once when
 * the outage is over.
 */
export interface OutageObserver {
  outageBegan(error: Error): void;
  outageEnded(): void;
}

/** The outages that several loops of one component are in now. Each loop waits and recovers by itself. */
export class OpenOutages {
  private readonly errors = new Map<OutageObserver, Error>();

  /** `observer` is told of the outages of all loops. */
  constructor(private readonly observer: OutageObserver) {}

  /** The error of a loop that is in an outage now; `undefined` if no loop is. */
  get error(): Error | undefined {
    const [error] = this.errors.values();
    return error;
  }

  /** Returns the observer for one loop. */
  ofLoop(): OutageObserver {
    const loop: OutageObserver = {
      outageBegan: (error) => {
        this.errors.set(loop, error);
        this.observer.outageBegan(error);
      },
      outageEnded: () => {
        this.errors.delete(loop);
        this.observer.outageEnded();
      },
    };
    return loop;
  }

  /** Forgets a loop that has ended, perhaps during an outage. */
  forget(loop: OutageObserver): void {
    this.errors.delete(loop);
  }
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

export interface RepeatOptions {
  /**
   * Returns whether an error is an outage. After an outage, `work` is tried again. By default, every `StoreUnavailable`
   * is an outage.
   */
  readonly isOutage?: (error: unknown) => error is Error;
}

const isStoreUnavailable = (error: unknown): error is StoreUnavailable => error instanceof StoreUnavailable;

/**
 * Runs `work` again and again until the signal aborts. After a success, `work` runs again at once. After an outage,
 * `work` runs again after a pause. The first pause is 50 ms. Each further pause is twice as long, up to 5 s. `work`
 * calls `recovered` as soon as the store works again. This call ends the outage, and the next pause is 50 ms again.
 * Rejects with every error that is not an outage.
 */
export async function repeatUntilAborted(
  signal: AbortSignal,
  observer: OutageObserver,
  work: (recovered: () => void) => Promise<void>,
  { isOutage = isStoreUnavailable }: RepeatOptions = {},
): Promise<void> {
  let failures = 0;
  const recovered = () => {
    if (failures > 0) observer.outageEnded();
    failures = 0;
  };
  const isOver = () => signal.aborted;
  while (!isOver()) {
    try {
      await work(recovered);
    } catch (error) {
      if (isOver()) return;
      if (!isOutage(error)) throw error;
      if (failures === 0) observer.outageBegan(error);
      await pause(Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS), signal);
      failures += 1;
    }
  }
}

/** Resolves after this time, or as soon as the signal aborts. */
export const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  delay(milliseconds, undefined, { signal }).catch(() => undefined);

/** Returns whether the promise resolved or rejected within this time. */
export const settledWithin = (promise: Promise<unknown>, milliseconds: number): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds, false);
    const settled = () => {
      clearTimeout(timer);
      resolve(true);
    };
    promise.then(settled, settled);
  });
