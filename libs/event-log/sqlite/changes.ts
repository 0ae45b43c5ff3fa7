import type { Reader } from './reader.js';

/** How often a follower that waits looks for another process's appends: some microseconds of work each time. */
const POLL_MS = 5;

interface Waiter {
  /** `Reader.version` before the read that found nothing. */
  readonly version: bigint;
  readonly wake: () => void;
}

/** Wakes followers when the log has grown: at once for this process's appends, by polling for those of others. */
export class Changes {
  private readonly waiters = new Set<Waiter>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly reader: Reader) {}

  /** Resolves when the log may have changed since `version`, and on `signal`. Throws `LogUnavailable`. */
  async since(version: bigint, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.reader.version() !== version) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.waiters.delete(waiter);
        if (this.waiters.size === 0) clearInterval(this.timer);
        resolve();
      };
      const waiter = { version, wake };
      signal.addEventListener('abort', wake);
      if (this.waiters.size === 0) this.timer = setInterval(this.poll, POLL_MS);
      this.waiters.add(waiter);
    });
  }

  wakeAll(): void {
    for (const { wake } of this.waiters) wake();
  }

  private readonly poll = (): void => {
    try {
      const version = this.reader.version();
      for (const waiter of this.waiters) if (waiter.version !== version) waiter.wake();
    } catch {
      this.wakeAll(); // Their own reads say what is wrong.
    }
  };
}
